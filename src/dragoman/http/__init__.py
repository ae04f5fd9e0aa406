"""Shared HTTP parts without domain: operations as data, the gateway that serves them, bodies, addresses, OpenAPI."""

from dragoman.http.call import Answer, Call
from dragoman.http.dialect import (
    BodyRules,
    Cors,
    Dialect,
    Mount,
    no_trailing_slash,
    same_path,
    single_leading_slash,
)
from dragoman.http.faults import Fault, Invalid, Problem
from dragoman.http.multipart import File
from dragoman.http.operation import Bytes, Operation, operation
from dragoman.http.socket import Socket, SocketPlace

__all__ = [
    "Answer",
    "BodyRules",
    "Bytes",
    "Call",
    "Cors",
    "Dialect",
    "Fault",
    "File",
    "Invalid",
    "Mount",
    "Operation",
    "Problem",
    "Socket",
    "SocketPlace",
    "no_trailing_slash",
    "operation",
    "same_path",
    "single_leading_slash",
]

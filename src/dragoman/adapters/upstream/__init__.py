"""Outside providers that vouch for people: OpenID Connect, and GitHub's own OAuth."""

// A real provider of OpenID Connect on loopback: the published package, with a door for the tests to move it by.
//
// Standard input: one line of JSON with `port`, `package` (where the package is installed), `jwks` (private keys) and
// `clients`. Prints "ready". Below /test the tests set who may sign in, and what the provider gets wrong.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const line = await new Promise((found) => createInterface({ input: process.stdin }).once('line', found));
const given = JSON.parse(line);
const entry = createRequire(`${given.package}/package.json`).resolve('oidc-provider');
const { default: Provider } = await import(pathToFileURL(entry));

const issuer = `http://127.0.0.1:${given.port}`;
const people = new Map();
const counted = {};
let trouble = {};

const provider = new Provider(issuer, {
  clients: given.clients,
  jwks: given.jwks,
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified', 'hd'],
    profile: ['name', 'given_name', 'family_name', 'picture'],
  },
  conformIdTokenClaims: false,
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  cookies: { keys: ['a key for tests'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, ...(people.get(id) ?? {}) }),
  }),
});
const answer = provider.callback();

async function read(request) {
  let text = '';
  for await (const piece of request) text += piece;
  return text;
}

function send(response, status, body) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

// What a provider can do wrong, by path: `{"/jwks": {"kind": "slow" | "huge" | "redirect" | "text" | "status", ...}}`.
function misbehave(how, response) {
  if (how.kind === 'slow') return; // the connection is taken, and nothing comes
  if (how.kind === 'drip') {
    response.writeHead(200, { 'content-type': 'application/json' });
    const timer = setInterval(() => response.write(' '), 50);
    response.on('close', () => clearInterval(timer));
  } else if (how.kind === 'huge') {
    response.writeHead(200, { 'content-type': 'application/json' });
    const piece = ' '.repeat(64 * 1024);
    const more = () => {
      while (!response.destroyed && response.write(piece));
      if (!response.destroyed) response.once('drain', more);
    };
    response.on('error', () => {});
    more();
  } else if (how.kind === 'redirect') {
    response.writeHead(302, { location: how.to });
    response.end();
  } else if (how.kind === 'text') {
    response.writeHead(how.status ?? 200, { 'content-type': 'application/json', ...how.headers });
    response.end(how.text);
  }
}

// Google's call that tells for which client an access token was made: numbers and truth are text there.
async function tokeninfo(request, response) {
  const token = new URLSearchParams(await read(request)).get('access_token');
  const found = token ? await provider.AccessToken.find(token) : undefined;
  if (!found) return send(response, 400, { error: 'invalid_token' });
  const person = people.get(found.accountId) ?? {};
  return send(response, 200, {
    aud: found.clientId, azp: found.clientId, sub: found.accountId, scope: found.scope,
    exp: String(found.exp), expires_in: '3599', email: person.email,
    email_verified: String(person.email_verified ?? false), access_type: 'online',
  });
}

async function control(path, request, response) {
  if (path === '/test/people') people.clear(), Object.entries(JSON.parse(await read(request))).forEach(([k, v]) => people.set(k, v));
  if (path === '/test/trouble') trouble = JSON.parse(await read(request));
  send(response, 200, counted);
}

createServer((request, response) => {
  const path = request.url.split('?')[0];
  if (path.startsWith('/test/')) return control(path, request, response);
  counted[path] = (counted[path] ?? 0) + 1;
  if (trouble[path]) return misbehave(trouble[path], response);
  if (path === '/tokeninfo') return tokeninfo(request, response);
  return answer(request, response);
}).listen(given.port, '127.0.0.1', () => console.log('ready'));

// Signs in, refreshes, reads the profile and signs out, the way Flashback's TypeScript client sends it.
// Usage: node conformance.mjs BASE EMAIL PASSWORD. Prints the steps that passed as JSON; fails at the first surprise.
import assert from 'node:assert/strict';

const [base, email, password] = process.argv.slice(2);
const passed = [];
let bearer = null;

// As ApiClient.makeRequest: a content type only with a body, the bearer on every call once it is set.
async function call(method, path, body) {
  const headers = {};
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (bearer !== null) headers.Authorization = `Bearer ${bearer}`;
  const answer = await fetch(`${base}/${path}`, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const type = answer.headers.get('content-type') ?? '';
  assert.ok(type.includes('application/json'), `${path} answered ${type}`);
  return { status: answer.status, data: await answer.json(), headers: answer.headers };
}

function claims(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());
}

async function step(name, run) {
  await run();
  passed.push(name);
}

const deviceInfo = {
  userAgent: 'conformance', deviceType: 'DESKTOP', os: 'Linux', browser: 'none', hardwareConcurrency: 2,
};
let session = null;
let refreshed = null;

await step('login', async () => {
  const { status, data } = await call('POST', 'user/login', { email, password, deviceInfo });
  assert.equal(status, 200, JSON.stringify(data));
  assert.equal(data.success, true);
  for (const name of ['accessToken', 'refreshToken', 'tokenId']) assert.equal(typeof data[name], 'string', name);
  const { iat, exp, userId, type } = claims(data.accessToken);
  assert.equal(exp - iat, 3600);
  assert.equal(data.expiresAt, exp * 1000);
  assert.equal(userId, data.user.id);
  assert.equal(type, 'access');
  session = data;
});

await step('profile', async () => {
  bearer = session.accessToken;
  const { status, data } = await call('GET', 'user/profile');
  assert.equal(status, 200);
  assert.equal(data.data.email, email);
  assert.ok(data.data.orgRoles.includes(data.data.orgRole));
});

await step('refresh as the client spells it, with a stale bearer', async () => {
  bearer = 'eyJhbGciOiJIUzI1NiJ9.e30.stale';
  const { status, data } = await call('POST', 'user/refresh', { refresh_token: session.refreshToken });
  assert.equal(status, 200);
  assert.notEqual(data.refreshToken, session.refreshToken);
  assert.equal(data.token, data.accessToken);
  assert.equal(claims(data.accessToken).jti, session.tokenId);
  refreshed = data;
});

await step('refresh as the page spells it', async () => {
  const { status, data } = await call('POST', 'user/refresh', { refreshToken: refreshed.refreshToken });
  assert.equal(status, 200);
  refreshed = data;
});

await step('each token refused in the place of the other', async () => {
  const wrong = await call('POST', 'user/refresh', { refresh_token: refreshed.accessToken });
  assert.deepEqual([wrong.status, wrong.data.error_code], [401, 'INVALID_REFRESH_TOKEN']);
  bearer = refreshed.refreshToken;
  const refused = await call('GET', 'user/profile');
  assert.deepEqual([refused.status, refused.data.error_code], [401, 'NO_AUTH_USER']);
  assert.match(refused.headers.get('www-authenticate'), /^Bearer/);
});

await step('profile with the new token', async () => {
  bearer = refreshed.accessToken;
  assert.equal((await call('GET', 'user/profile')).status, 200);
});

await step('logout', async () => {
  const { status, data } = await call('POST', 'user/logout', { refresh_token: refreshed.refreshToken });
  assert.equal(status, 200);
  assert.equal(data.success, true);
});

await step('nothing works afterwards, and logout says yes again', async () => {
  const profile = await call('GET', 'user/profile');
  assert.deepEqual([profile.status, profile.data.error_code, profile.data.success], [401, 'NO_AUTH_USER', false]);
  const refresh = await call('POST', 'user/refresh', { refresh_token: refreshed.refreshToken });
  assert.deepEqual([refresh.status, refresh.data.error_code], [401, 'INVALID_REFRESH_TOKEN']);
  assert.equal((await call('POST', 'user/logout', { refresh_token: refreshed.refreshToken })).status, 200);
});

await step('a POST without a body', async () => {
  assert.equal((await call('POST', 'user/logout')).status, 200);
});

await step('wrong password', async () => {
  const { status, data } = await call('POST', 'user/login', { email, password: `${password}!` });
  assert.deepEqual([status, data.error_code], [401, 'INVALID_PASSWORD']);
  assert.equal(data.error, data.message);
});

console.log(JSON.stringify(passed));

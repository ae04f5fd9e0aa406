// Drives Flashback's calls in the spelling of its published ApiClient, with global fetch only, typed by the declaration
// that is generated from the server's own OpenAPI document. Usage: node conformance.js BASE EMAIL PASSWORD.
// Prints the steps that passed as JSON; ends with an error at the first surprise.
import type { paths } from './schema';

declare const process: { argv: string[] };

type Method = 'get' | 'post' | 'put' | 'delete';
type Paths<M extends Method> = { [P in keyof paths]: paths[P][M] extends { responses: unknown } ? P : never }[keyof paths];
type Operation<P extends keyof paths, M extends Method> = paths[P][M];
type Sent<P extends keyof paths, M extends Method> =
  Operation<P, M> extends { requestBody: { content: { 'application/json': infer B } } } ? [body: B]
    : Operation<P, M> extends { requestBody?: { content: { 'application/json': infer B } } } ? [body?: B]
      : [];
type Json<R> = R extends { content: { 'application/json': infer J } } ? J : never;
type Good<P extends keyof paths, M extends Method> =
  Operation<P, M> extends { responses: infer R } ? Json<R[keyof R & (200 | 201)]> : never;
type Failure = paths['/user/profile']['get']['responses']['default']['content']['application/json'];
type Values = Record<string, string>;

class HttpError extends Error {
  constructor(readonly status: number, readonly data: Failure, readonly challenge: string | null) {
    super(`${status} ${JSON.stringify(data)}`);
  }
}

// As the published client does it: base and path joined by a slash, the bearer on every later call once it is set, a
// content type only with a body, null for an empty answer, an HttpError for whatever is not 2xx.
class ApiClient {
  private headers: Record<string, string> = {};

  constructor(private readonly base: string) {}

  setAuthToken(token: string | null): void {
    if (token) this.headers = { ...this.headers, Authorization: `Bearer ${token}` };
  }

  async call<M extends Method, P extends Paths<M>>(
    method: M, path: P, values: Values, ...[body]: Sent<P, M>
  ): Promise<Good<P, M>> {
    const filled = String(path).slice(1).replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? '');
    const headers = body === undefined ? this.headers : { ...this.headers, 'Content-Type': 'application/json' };
    const answer = await fetch(`${this.base}/${filled}`, {
      method: method.toUpperCase(), headers, body: body === undefined ? undefined : JSON.stringify(body),
    });
    const json = (answer.headers.get('content-type') ?? '').includes('application/json');
    if (!answer.ok) {
      const data = (json ? await answer.json() : null) as Failure;
      throw new HttpError(answer.status, data, answer.headers.get('www-authenticate'));
    }
    const text = await answer.text();
    return (text ? JSON.parse(text) : null) as Good<P, M>;
  }
}

function claims(token: string): { userId: string; type: string; iat: number; exp: number; jti: string } {
  const part = (token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/');
  return JSON.parse(atob(part)) as ReturnType<typeof claims>;
}

function same<T>(found: T, wanted: T): void {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`found ${a}, wanted ${b}`);
}

function given<T>(value: T | null | undefined, name: string): T {
  if (value === null || value === undefined) throw new Error(`${name} is missing`);
  return value;
}

async function refused(run: Promise<unknown>, status: number, code: string): Promise<void> {
  try {
    await run;
  } catch (error) {
    if (!(error instanceof HttpError)) throw error;
    same([error.status, error.data.success, error.data.error_code], [status, false, code]);
    same(error.data.error, error.data.message);
    if (status === 401) same((error.challenge ?? '').startsWith('Bearer'), true);
    return;
  }
  throw new Error(`${status} ${code} was not said`);
}

const [base = '', email = '', password = ''] = process.argv.slice(2);
const passed: string[] = [];
async function step<T>(name: string, run: () => Promise<T>): Promise<T> {
  const value = await run();
  passed.push(name);
  return value;
}

const api = new ApiClient(base);
const other = new ApiClient(`${base}/`); // makes a doubled slash of every path
const deviceInfo = {
  userAgent: 'Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0', deviceType: 'DESKTOP' as const, os: 'Linux',
  browser: 'Firefox', screenResolution: '1920x1080', timezone: 'UTC', language: 'en', platform: 'Linux x86_64',
  hardwareConcurrency: 2, deviceMemory: 8,
};

const first = await step('login', async () => {
  const answer = await api.call('post', '/user/login', {}, { email, password, deviceInfo });
  const { iat, exp, userId, type, jti } = claims(answer.accessToken);
  same([exp - iat, type, userId, jti], [3600, 'access', answer.user.id, given(answer.tokenId, 'tokenId')]);
  same(answer.expiresAt, exp * 1000);
  return { access: answer.accessToken, refresh: given(answer.refreshToken, 'refreshToken'), id: jti };
});

await step('a second login, with a stale bearer and a doubled slash', async () => {
  other.setAuthToken('eyJhbGciOiJIUzI1NiJ9.e30.stale');
  const answer = await other.call('post', '/user/login', {}, { email, password });
  other.setAuthToken(answer.accessToken);
  other.setAuthToken(null); // does nothing, as in the original
  same((await other.call('get', '/user/profile', {})).data.email, email);
});

await step('profile', async () => {
  api.setAuthToken(first.access);
  const { data } = await api.call('get', '/user/profile', {});
  same([data.email, data.orgRoles.includes(given(data.orgRole, 'orgRole'))], [email, true]);
});

const second = await step('refresh as the client spells it, with a stale bearer', async () => {
  api.setAuthToken('eyJhbGciOiJIUzI1NiJ9.e30.stale');
  const answer = await api.call('post', '/user/refresh', {}, { refresh_token: first.refresh });
  same([answer.token, claims(answer.accessToken).jti], [answer.accessToken, first.id]);
  same(answer.refreshToken === first.refresh, false);
  return answer;
});

const third = await step('refresh as the page spells it', async () => {
  const answer = await api.call('post', '/user/refresh', {}, { refreshToken: second.refreshToken });
  api.setAuthToken(answer.accessToken);
  await api.call('get', '/user/profile', {});
  return answer;
});

await step('each token refused in the place of the other', async () => {
  const wrong = api.call('post', '/user/refresh', {}, { refresh_token: third.accessToken });
  await refused(wrong, 401, 'INVALID_REFRESH_TOKEN');
  const mixed = new ApiClient(base);
  mixed.setAuthToken(third.refreshToken);
  await refused(mixed.call('get', '/user/profile', {}), 401, 'NO_AUTH_USER');
});

await step('refresh tokens', async () => {
  const { tokens } = await api.call('get', '/token', {});
  same(tokens.filter((each) => each.current).map((each) => each.id), [first.id]);
});

await step('sessions and heartbeat', async () => {
  const { sessions } = await api.call('get', '/sessions', {});
  const own = given(sessions.find((each) => each.id === first.id), 'the own session');
  same([own.deviceName, own.loginMethod], ['Firefox on Linux', 'PASSWORD']);
  same(Number.isNaN(Date.parse(own.startedAt)), false);
  const beat = await api.call('post', '/sessions/{session_id}/heartbeat', { session_id: first.id });
  same(Date.parse(given(beat.newExpiry, 'newExpiry')) > Date.now(), true);
});

await step('devices', async () => {
  const { devices } = await api.call('get', '/devices', {});
  const id = given(devices[0], 'a device').id;
  const { device } = await api.call('get', '/devices/{device_id}', { device_id: id });
  same(given(device.sessions, 'sessions').map((each) => each.id), [first.id]);
  const fingerprint = given(device.deviceFingerprint, 'deviceFingerprint');
  const trusted = await api.call('post', '/devices/trust', {}, { fingerprint });
  same(Date.parse(trusted.trustExpiresAt) > Date.now(), true);
  await api.call('post', '/devices/{device_id}/untrust', { device_id: id });
  same((await api.call('get', '/devices', {})).devices[0]?.trustLevel, 'LOW');
});

await step('settings: replace, merge, remove by dotted key', async () => {
  await api.call('post', '/settings/user', {}, { settings: { theme: 'dark', mail: { daily: true, weekly: false } } });
  await api.call('put', '/settings/user', {}, { mail: { weekly: true } });
  same((await api.call('delete', '/settings/user', {}, { keys: ['theme', 'mail.daily'] })).success, true);
  same((await api.call('get', '/settings/user', {})).settings, { mail: { weekly: true } });
  await refused(api.call('delete', '/settings/user', {}, { keys: [] }), 400, 'INVALID_REQUEST');
});

await step('revoking the other session', async () => {
  const { tokens } = await api.call('get', '/token', {});
  const there = given(tokens.find((each) => !each.current), 'the other session');
  same((await api.call('delete', '/token/{token_id}', { token_id: there.id })).success, true);
  await refused(other.call('get', '/user/profile', {}), 401, 'NO_AUTH_USER');
  await refused(api.call('post', '/sessions/{session_id}/revoke', { session_id: there.id }), 404, 'NOT_FOUND');
});

await step('logout, and nothing works afterwards', async () => {
  same((await api.call('post', '/user/logout', {}, { refresh_token: third.refreshToken })).success, true);
  await refused(api.call('get', '/user/profile', {}), 401, 'NO_AUTH_USER');
  const dead = api.call('post', '/user/refresh', {}, { refresh_token: third.refreshToken });
  await refused(dead, 401, 'INVALID_REFRESH_TOKEN');
  same((await api.call('post', '/user/logout', {}, { refresh_token: third.refreshToken })).success, true);
});

await step('a POST without body and content type', async () => {
  same((await api.call('post', '/user/logout', {})).success, true);
});

await step('wrong password', async () => {
  await refused(api.call('post', '/user/login', {}, { email, password: `${password}!` }), 401, 'INVALID_PASSWORD');
});

await step('register: reading is allowed, writing waits for a verified address', async () => {
  const fresh = new ApiClient(base);
  const answer = await fresh.call('post', '/user/register', {}, {
    email: 'bob@example.com', password: 'Another horse battery 7', firstName: 'Bob', lastName: 'Example',
    companyName: 'Example', isBusiness: true, deviceInfo,
  } as Sent<'/user/register', 'post'>[0]);
  fresh.setAuthToken(given(answer.accessToken, 'accessToken'));
  same((await fresh.call('get', '/user/profile', {})).data.validated, false);
  await refused(fresh.call('put', '/settings/user', {}, { theme: 'dark' }), 403, 'EMAIL_NOT_VERIFIED');
});

console.log(JSON.stringify(passed));

// Drives @rocket.chat/ddp-client with api-client, and @rocket.chat/sdk alpha: sign in, resume, sign out.
'use strict';

const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');

const [home, server, name, which] = process.argv.slice(2);
const client = createRequire(`${home}/package.json`);
const password = readFileSync(0, 'utf8');
const digest = (text) => createHash('sha256').update(text).digest('hex');
const say = (...words) => console.log(words.join(' '));
const refusal = (error) => error?.reason ?? error?.error?.reason ?? error?.data?.message ?? error?.message ?? 'refused';

async function ddpClient() {
	globalThis.WebSocket = client('ws');
	const { DDPSDK } = client('@rocket.chat/ddp-client');
	const sdk = await DDPSDK.createAndConnect(server);
	await sdk.account.loginWithPassword(name, digest(`${password}!`)).catch((error) => say('refused', refusal(error)));
	await sdk.account.loginWithPassword(name, digest(password));
	say('signed in', sdk.account.user.username, sdk.account.user.token.length, sdk.account.user.tokenExpires > new Date(0));
	const { uid } = sdk.account;
	const me = await sdk.rest.get('/v1/me');
	say('me', me.username, me._id === uid);

	const again = await DDPSDK.createAndConnect(server);
	const resumed = await again.account.loginWithToken(sdk.account.user.token);
	say('resumed', resumed.id === uid, resumed.token === sdk.account.user.token);
	const other = sdk.account.user.token;
	await again.account.logout();
	await again.account.loginWithToken(other).catch((error) => say('refused', refusal(error)));
}

async function sdkAlpha() {
	globalThis.WebSocket = client('ws');
	const { Rocketchat } = client('@rocket.chat/sdk');
	const quiet = { debug() {}, info() {}, warn() {}, error() {}, warning() {} };
	const sdk = new Rocketchat({ logger: quiet, protocol: 'ddp', host: server, reopen: 20000 });
	await sdk.connect({});
	await sdk.login({ user: name, password: `${password}!` }).catch((error) => say('refused', refusal(error)));
	const resumed = await sdk.login({ user: name, password });
	say('signed in', sdk.currentLogin.result.me ? sdk.currentLogin.result.me.username : sdk.currentLogin.username);
	say('resumed', resumed.id === sdk.currentLogin.userId, resumed.token === sdk.currentLogin.authToken);
	const me = await sdk.get('me');
	say('me', me.username);
	const { authToken } = sdk.currentLogin;
	await sdk.logout();
	const answer = await fetch(`${server}/api/v1/me`, { headers: { 'X-Auth-Token': authToken, 'X-User-Id': me._id } });
	say('signed out', answer.status);
}

const patience = setTimeout(() => { say('no answer'); process.exit(3); }, 20000);
({ 'ddp-client': ddpClient, sdk: sdkAlpha })[which]().then(
	() => { clearTimeout(patience); process.exit(0); },
	(error) => { say('broke', refusal(error), error?.stack ?? ''); process.exit(1); },
);

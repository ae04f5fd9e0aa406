// Drives @rocket.chat/api-client against operations that want a proof: right at once, wrong for ever, empty for ever.
'use strict';

const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');

const [home, server, name, which] = process.argv.slice(2);
const { RestClient } = createRequire(`${home}/package.json`)('@rocket.chat/api-client');
const password = readFileSync(0, 'utf8');
const digest = (text) => createHash('sha256').update(text).digest('hex');
const say = (...words) => console.log(words.join(' '));
const answers = { right: digest(password), wrong: digest(`${password}!`), empty: '' };

async function main() {
	const rest = new RestClient({ baseUrl: server });
	const { data } = await rest.post('/v1/login', { user: name, password });
	rest.setCredentials({ 'X-User-Id': data.userId, 'X-Auth-Token': data.authToken });
	let asked = 0;
	let invalid = 0;
	rest.handleTwoFactorChallenge(async ({ method, invalidAttempt }) => {
		asked += 1;
		invalid += invalidAttempt ? 1 : 0;
		if (asked === 1) say('asked for', method);
		if (asked > 50) { say('never stopped'); process.exit(4); }
		return answers[which];
	});
	try {
		const answer = await rest.post('/v1/users.2fa.disableEmail', {});
		say('done', answer.success);
	} catch (response) {
		say('stopped', response.status, (await response.json()).errorType);
	}
	say('asked', asked, 'invalid', invalid);
}

const patience = setTimeout(() => { say('no answer'); process.exit(3); }, 30000);
main().then(
	() => { clearTimeout(patience); process.exit(0); },
	(error) => { say('broke', error?.stack ?? error?.status ?? error); process.exit(1); },
);

// SQS, SNS and S3 (fauxqs) and SES v2 (aws-ses-v2-local) in one process, each on a free port of the loopback interface:
// their own command lines bind every interface. Prints the ports when both answer; ends when standard input does, so that
// it never outlives the process that started it.
import { buildApp } from 'fauxqs';
import ses from 'aws-ses-v2-local';

const host = '127.0.0.1';

const aws = buildApp({ logger: false, defaultRegion: process.env.AWS_REGION });
await aws.listen({ host, port: 0 });
const mail = await ses.default({ host, port: 0 });

console.log(JSON.stringify({ aws: aws.server.address().port, mail: mail.address().port }));

process.stdin.on('end', () => process.exit(0)).resume();

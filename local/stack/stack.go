// Package stack runs the whole service on this machine: the AWS services, the
// eight roles as processes of the real binary, each behind the Lambda Runtime
// API, the queues' event source mappings, the API and a Cart API. The
// end-to-end tests use it as well as `make run`.
package stack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"golang.org/x/sync/errgroup"

	"github.com/bbws/order-lambda/deploy"
	"github.com/bbws/order-lambda/invoice/branding"
	"github.com/bbws/order-lambda/local/cartstub"
	"github.com/bbws/order-lambda/local/emulator"
	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/lambdaapi"
	"github.com/bbws/order-lambda/local/poller"
	"github.com/bbws/order-lambda/notify/templates"
)

// Names of what the stack creates, as an operator's dev environment has them.
const (
	Environment     = "dev"
	Table           = "bbws-customer-portal-orders-" + Environment
	OrdersBucket    = "bbws-orders-" + Environment
	TemplatesBucket = "bbws-email-templates-" + Environment
	topic           = "bbws-order-events-" + Environment
	account         = "000000000000"

	// FromAddress and TeamAddress are where mails come from, and where internal
	// ones go.
	FromAddress = "orders@kimmyai.io"
	TeamAddress = "team@kimmyai.io"

	recorder         = "order_creator_record" // consumes what create_order queues
	otherQueue       = "another-system"       // hears every event
	maxReceives      = 3                      // before a message goes to the dead-letter queue
	apiEnvironments  = 10                     // environments at a time of an API role
	quickWindow      = 20 * time.Millisecond
	streamWait       = 250 * time.Millisecond // between two looks at a shard, as Lambda's
	visibilityFactor = 6                      // of a function's timeout
)

// Options say how a stack differs from the deployed service. The zero value
// does not, except for the free port.
type Options struct {
	// Image, if set, is the container image that the roles run from in place of
	// a binary that is built from the repository, and Docker the command that
	// runs it.
	Image, Docker string

	// Unread leaves the queues and the stream alone, for a caller that hands
	// the roles their events.
	Unread bool

	// Address is where the API listens. Empty means a free port of 127.0.0.1.
	Address string

	// Quick shortens what only costs waiting: batch windows to 20 ms, and the
	// time until the messages of an invocation that crashed come back to none.
	Quick bool

	// Settings are added to those of every role that has a setting of the name.
	Settings map[string]string

	// Around, if set, is put in front of the AWS services for each role, and in
	// front of the Cart API for the recorder. It may answer in their place, or
	// do something before or after it passes a request on.
	Around func(role string, neighbour http.Handler) http.Handler

	// OnInvoke, if set, is told of every invocation before it begins, and calls
	// back with its end. Invocations run at the same time.
	OnInvoke func(role string, event []byte) (ended func(answer []byte, err error))

	// Other, if set, answers at the API's address what is outside of the API.
	Other http.Handler

	// LogDir, if set, is where each role's log goes as <role>.log, anew.
	LogDir string

	// OnLog, if set, is told every line that a role logs, of several roles at a
	// time.
	OnLog func(role, line string)

	// Progress, if set, is told what is being done while the stack starts,
	// several things at a time.
	Progress func(what string)
}

// A Stack is the running service.
type Stack struct {
	URL     string // of the API, without a slash at the end
	MailURL string // of the mail inbox
	CartURL string

	DynamoDB *dynamodb.Client
	SQS      *sqs.Client
	SNS      *sns.Client
	S3       *s3.Client
	TopicARN string

	// Environ are the variables that make another program use the stack, as the
	// operators' one does.
	Environ []string

	options   Options
	roles     map[string]deploy.Role
	functions map[string]*lambdaapi.Function
	logs      map[string]*roleLog
	batches   map[string]*recent[Batch]

	closers []func() // in the order of starting
}

// Start starts a stack. It runs until Close. The error is one line for a
// person.
func Start(ctx context.Context, options Options) (*Stack, error) {
	roles, err := deploy.Roles()
	if err != nil {
		return nil, err
	}
	s := &Stack{
		options: options, roles: roles, functions: map[string]*lambdaapi.Function{}, logs: map[string]*roleLog{},
		batches: map[string]*recent[Batch]{},
	}
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	api, err := s.listen(cmp.Or(s.options.Address, anyAddress))
	if err != nil {
		return err
	}
	s.URL = "http://" + api.Addr().String()

	var db *emulator.DynamoDB
	var cloud *emulator.AWS
	var binary string
	begin, ctx := errgroup.WithContext(ctx)
	begin.Go(func() (err error) {
		s.progress("starting DynamoDB")
		db, err = emulator.StartDynamoDB(context.WithoutCancel(ctx))
		return err
	})
	begin.Go(func() (err error) {
		s.progress("starting SQS, SNS, S3 and SES")
		cloud, err = emulator.StartAWS(context.WithoutCancel(ctx))
		return err
	})
	begin.Go(func() (err error) {
		if s.options.Image == "" {
			s.progress("building the binary")
			binary, err = Build(ctx)
		}
		return err
	})
	err = begin.Wait()
	if db != nil {
		s.onClose(db.Close)
	}
	if cloud != nil {
		s.onClose(cloud.Close)
	}
	if err != nil {
		return err
	}

	s.progress("creating the table, queues, topic and buckets")
	config := emulator.Config(cloud.Endpoint())
	s.DynamoDB, s.SQS = db.Client(), sqs.NewFromConfig(config)
	s.SNS, s.S3 = sns.NewFromConfig(config), s3.NewFromConfig(config)
	s.MailURL = cloud.MailEndpoint()
	creating, ctx := errgroup.WithContext(context.WithoutCancel(ctx))
	creating.Go(func() error { return emulator.CreateTable(ctx, s.DynamoDB, Table) })
	creating.Go(func() error { return s.createQueues(ctx) })
	creating.Go(func() error { return s.createBuckets(ctx) })
	if err := creating.Wait(); err != nil {
		return err
	}
	s.Environ = append(
		emulator.Environ(db, cloud),
		"ENVIRONMENT="+Environment, "DYNAMODB_TABLE_NAME="+Table, "ORDER_EVENTS_TOPIC_ARN="+s.TopicARN,
		"S3_ORDERS_BUCKET="+OrdersBucket, "S3_EMAIL_TEMPLATES_BUCKET="+TemplatesBucket,
	)
	s.progress("starting the eight roles")
	if err := s.run(ctx, db, cloud, binary); err != nil {
		return err
	}
	s.serve(api, s.gateway())
	return nil
}

// Close ends everything that Start began and returns when no process is left.
func (s *Stack) Close() {
	for _, f := range slices.Backward(s.closers) {
		f()
	}
	s.closers = nil
}

func (s *Stack) onClose(f func()) { s.closers = append(s.closers, f) }

func (s *Stack) progress(what string) {
	if s.options.Progress != nil {
		s.options.Progress(what)
	}
}

// Build builds the binary as it is deployed, for this machine, and returns its
// path. It replaces the one that was built before: processes that run it keep
// theirs.
func Build(ctx context.Context) (string, error) {
	root, err := emulator.Root()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(root, ".cache", "local", "bootstrap")
	fresh := fmt.Sprintf("%s.%d", binary, os.Getpid()) // somebody else may be building or running the other one
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-tags", "lambda.norpc", "-o", fresh, ".")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the binary: %w\n%s", err, bytes.TrimSpace(out))
	}
	return binary, os.Rename(fresh, binary)
}

// createQueues makes the queues of the consumers, and the topic that feeds
// those of them that follow the recorder. One more queue gets every event, as
// another system's would.
func (s *Stack) createQueues(ctx context.Context) error {
	created, err := s.SNS.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(topic)})
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	s.TopicARN = aws.ToString(created.TopicArn)
	for name, role := range s.roles {
		if !role.IsConsumer() {
			continue
		}
		if err := s.createRoleQueues(ctx, role); err != nil {
			return fmt.Errorf("create the queues of %s: %w", name, err)
		}
	}
	if err := s.createQueue(ctx, otherQueue, nil); err != nil {
		return err
	}
	return s.subscribe(ctx, otherQueue, nil)
}

// createRoleQueues makes what feeds a consumer: its queue, its dead-letter
// queues, and the subscription to the events that it serves.
func (s *Stack) createRoleQueues(ctx context.Context, role deploy.Role) error {
	if role.Stream != nil {
		if err := s.createQueue(ctx, role.Stream.DeadLetters+"-"+Environment, nil); err != nil {
			return err
		}
	}
	if err := s.createQueue(ctx, deadQueueName(role), nil); err != nil {
		return err
	}
	err := s.createQueue(ctx, queueName(role), map[string]string{
		"VisibilityTimeout": strconv.Itoa(visibilityFactor * role.Timeout),
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`,
			arn("sqs", deadQueueName(role)), maxReceives),
	})
	if err != nil || len(role.Events) == 0 {
		return err
	}
	return s.subscribe(ctx, queueName(role), role.Events)
}

func (s *Stack) createQueue(ctx context.Context, name string, attributes map[string]string) error {
	_, err := s.SQS.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
	return err
}

// subscribe lets a queue have the topic's events of some types, of all types if
// there are none.
func (s *Stack) subscribe(ctx context.Context, queue string, types []string) error {
	attributes := map[string]string{"RawMessageDelivery": "true"}
	if len(types) > 0 {
		filter, _ := json.Marshal(map[string][]string{"eventType": types}) // strings always marshal
		attributes["FilterPolicyScope"], attributes["FilterPolicy"] = "MessageBody", string(filter)
	}
	_, err := s.SNS.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: aws.String(s.TopicARN), Protocol: aws.String("sqs"), Endpoint: aws.String(arn("sqs", queue)),
		Attributes: attributes,
	})
	return err
}

// createBuckets makes the buckets and uploads the default templates and
// branding.
func (s *Stack) createBuckets(ctx context.Context) error {
	for _, bucket := range []string{OrdersBucket, TemplatesBucket} {
		if _, err := s.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
			return fmt.Errorf("create bucket %s: %w", bucket, err)
		}
	}
	if err := s.upload(ctx, templates.FS, ""); err != nil {
		return err
	}
	return s.upload(ctx, branding.Files, "branding/")
}

// upload puts files into the templates bucket.
func (s *Stack) upload(ctx context.Context, files fs.FS, prefix string) error {
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return s.PutObject(ctx, TemplatesBucket, prefix+name, content)
	})
}

// run starts the Cart API, the functions and the pollers.
func (s *Stack) run(ctx context.Context, db *emulator.DynamoDB, cloud *emulator.AWS, binary string) error {
	carts := cartstub.New()
	if s.options.Around != nil {
		carts = s.options.Around(recorder, carts)
	}
	var err error
	if s.CartURL, err = s.serveAnywhere(carts); err != nil {
		return err
	}
	rie, err := emulator.RuntimeInterface()
	if err != nil {
		return err
	}

	for name, role := range s.roles {
		log, err := newRoleLog(s.options.LogDir, name, s.options.OnLog)
		if err != nil {
			return err
		}
		s.logs[name], s.batches[name] = log, &recent[Batch]{}
		s.onClose(func() { _ = log.file.Close() })
		env := append(emulator.Environ(db, cloud), s.settings(name)...)
		if s.options.Around != nil {
			url, err := s.serveAnywhere(s.options.Around(name, services(db, cloud)))
			if err != nil {
				return err
			}
			env = append(env, "AWS_ENDPOINT_URL="+url, "AWS_ENDPOINT_URL_DYNAMODB="+url, "AWS_ENDPOINT_URL_SESV2="+url)
		}
		config := lambdaapi.Config{
			Emulator: rie, Name: "bbws-" + strings.ReplaceAll(name, "_", "-") + "-" + Environment, Program: binary, Env: env,
			Memory: role.Memory, Timeout: time.Duration(role.Timeout) * time.Second, Log: log, Environments: apiEnvironments,
		}
		if role.IsConsumer() {
			config.Environments = role.MaxConcurrency
			if role.Stream != nil {
				config.Environments++ // for the stream's one shard
			}
		}
		if s.options.Image != "" {
			config.Launch = s.container
		}
		s.functions[name] = lambdaapi.New(config)
	}
	polling, stop := context.WithCancel(context.WithoutCancel(ctx))
	var pollers sync.WaitGroup
	s.onClose(func() {
		stop()
		for _, function := range s.functions {
			function.Close()
		}
		pollers.Wait()
	})
	if s.options.Unread {
		return nil
	}
	for name, role := range s.roles {
		if role.IsConsumer() {
			queue := s.queue(polling, name)
			pollers.Go(func() { queue.Run(polling) })
		}
		if role.Stream != nil {
			stream, err := s.stream(polling, db.Streams(), name)
			if err != nil {
				return err
			}
			pollers.Go(func() { stream.Run(polling) })
		}
	}
	return nil
}

// container returns the command that runs a role from the image, under the
// image's own emulator. The container has the host's network, where the other
// services listen.
func (s *Stack) container(front, back string, env []string) *exec.Cmd {
	args := []string{"run", "--rm", "--init", "--network", "host", "--entrypoint", "/usr/local/bin/aws-lambda-rie"}
	for _, setting := range env {
		args = append(args, "--env", setting)
	}
	args = append(append(args, s.options.Image), lambdaapi.Arguments(front, back)...)
	return exec.Command(s.options.Docker, append(args, "/var/runtime/bootstrap")...)
}

// settings returns a role's environment: the settings that it lists and nothing
// else.
func (s *Stack) settings(name string) []string {
	env := deploy.Settings(s.roles, name, deploy.Place{
		Environment:     Environment,
		Region:          emulator.Region,
		Table:           Table,
		QueueURL:        func(queue string) string { return queueURL(queue + "-" + Environment) },
		TopicARN:        s.TopicARN,
		CartURL:         s.CartURL,
		OrdersBucket:    OrdersBucket,
		TemplatesBucket: TemplatesBucket,
		FromAddress:     FromAddress,
		TeamAddress:     TeamAddress,
	})
	for key, value := range s.options.Settings {
		if slices.Contains(s.roles[name].Settings, key) {
			env[key] = value
		}
	}
	var list []string
	for key, value := range env {
		list = append(list, key+"="+value)
	}
	return list
}

// queue returns the mapping of a consumer's queue.
func (s *Stack) queue(ctx context.Context, name string) *poller.Queue {
	role := s.roles[name]
	queue := &poller.Queue{
		Client: s.SQS, QueueURL: s.QueueURL(name), QueueARN: arn("sqs", queueName(role)),
		BatchSize: role.BatchSize, Window: time.Duration(role.BatchWindow) * time.Second, MaxConcurrency: role.MaxConcurrency,
		Function: s.function(name),
		Observe: func(event events.SQSEvent, failed []string, err error) {
			if err != nil && s.options.Quick {
				s.release(context.WithoutCancel(ctx), name, event)
			}
			s.batches[name].add(Batch{Messages: event.Records, Failed: failed, Err: err})
		},
	}
	if s.options.Quick {
		queue.Window = quickWindow
	}
	return queue
}

// stream returns the mapping of the table's stream to a role.
func (s *Stack) stream(ctx context.Context, client poller.Streams, name string) (*poller.Stream, error) {
	table, err := s.DynamoDB.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(Table)})
	if err != nil {
		return nil, fmt.Errorf("find the stream of table %s: %w", Table, err)
	}
	role := s.roles[name]
	stream := &poller.Stream{
		Client: client, StreamARN: aws.ToString(table.Table.LatestStreamArn),
		BatchSize: role.Stream.BatchSize, Filter: role.Stream.Filter, Function: s.function(name), Wait: streamWait,
		Observe: func(records []poller.Record, failed []string, err error) {
			s.batches[name].add(Batch{Changes: records, Failed: failed, Err: err})
		},
	}
	if s.options.Quick {
		stream.Wait = quickWindow
	}
	return stream, nil
}

// release makes the messages of an invocation that crashed visible again.
func (s *Stack) release(ctx context.Context, role string, event events.SQSEvent) {
	for _, record := range event.Records {
		_, _ = s.SQS.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
			QueueUrl: aws.String(s.QueueURL(role)), ReceiptHandle: aws.String(record.ReceiptHandle),
		}) // if it fails, the message comes back in its own time
	}
}

// gateway returns the API with what else its address serves.
func (s *Stack) gateway() http.Handler {
	config := gateway.Config{Stage: Environment, AllowOrigin: "*", Other: s.options.Other}
	for name, role := range s.roles {
		if !role.IsConsumer() {
			route := gateway.Route{Method: role.Method, Path: role.Path, Function: s.function(name)}
			config.Routes = append(config.Routes, route)
		}
	}
	return gateway.New(config)
}

// function returns a role's function for those who invoke it.
func (s *Stack) function(name string) poller.Invoker {
	if s.options.OnInvoke == nil {
		return s.functions[name]
	}
	return observed{s.functions[name], name, s.options.OnInvoke}
}

// observed tells of a function's invocations.
type observed struct {
	poller.Invoker
	role string
	told func(role string, event []byte) (ended func(answer []byte, err error))
}

// Invoke implements poller.Invoker.
func (o observed) Invoke(ctx context.Context, payload []byte, trace string) ([]byte, error) {
	ended := o.told(o.role, payload)
	answer, err := o.Invoker.Invoke(ctx, payload, trace)
	ended(answer, err)
	return answer, err
}

// anyAddress is a free port of this machine.
const anyAddress = "127.0.0.1:0"

// listen opens an address.
func (s *Stack) listen(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use: stop what listens there, or choose another port with PORT=…", address)
	}
	if err != nil {
		return nil, err
	}
	s.onClose(func() { _ = listener.Close() })
	return listener, nil
}

// serve answers on a listener until the stack is closed.
func (s *Stack) serve(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	s.onClose(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }()
}

// serveAnywhere answers at a free address and returns its URL.
func (s *Stack) serveAnywhere(handler http.Handler) (url string, err error) {
	listener, err := s.listen(anyAddress)
	if err != nil {
		return "", err
	}
	s.serve(listener, handler)
	return "http://" + listener.Addr().String(), nil
}

func queueName(role deploy.Role) string     { return role.Queue + "-" + Environment }
func deadQueueName(role deploy.Role) string { return role.Queue + "-dlq-" + Environment }

func arn(service, name string) string {
	return strings.Join([]string{"arn", "aws", service, emulator.Region, account, name}, ":")
}

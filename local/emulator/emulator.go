// Package emulator runs the AWS services that the order service uses on this
// machine: DynamoDB (the official DynamoDB Local), SQS, SNS, S3 and SES v2.
// They are separate programs that `make setup` installs into node_modules
// beside this file. They listen on free ports of 127.0.0.1 only, keep
// everything in memory, and end with the process that started them, however it
// ends.
package emulator

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
)

const (
	// Region is the AWS region that the emulators pretend to be in.
	Region = "eu-west-1"
	// AccessKey is both parts of the credentials that the emulators are given.
	// They accept any.
	AccessKey = "local"

	directory = "local/emulator"
	modules   = directory + "/node_modules"
	javaClass = modules + "/.java/DynamoDB.class" // what is installed last

	startTimeout = 90 * time.Second
	stopTimeout  = 2 * time.Second
)

// DynamoDB is a running DynamoDB Local.
type DynamoDB struct {
	*process
	endpoint string
}

// StartDynamoDB starts an empty DynamoDB Local and returns when it answers. It
// runs until Close or until ctx is done.
func StartDynamoDB(ctx context.Context) (*DynamoDB, error) {
	root, err := installed("the emulators are", javaClass)
	if err != nil {
		return nil, err
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, errors.New("DynamoDB Local needs Java 17 or newer: install a JDK (on Debian: default-jdk-headless)")
	}
	jars := filepath.Join(root, modules, "amplify-dynamodb-simulator", "emulator")
	libs := filepath.Join(jars, "DynamoDBLocal_lib")
	classpath := []string{
		filepath.Dir(filepath.Join(root, javaClass)),
		filepath.Join(jars, "DynamoDBLocal.jar"),
		filepath.Join(libs, "*"),
	}
	var ports struct{ DynamoDB int }
	// It unpacks libraries and writes a file about itself, and leaves both.
	temporary := filepath.Join(root, ".cache", "local")
	if err := os.MkdirAll(temporary, 0o750); err != nil {
		return nil, err
	}
	if temporary, err = os.MkdirTemp(temporary, fmt.Sprintf("dynamodb-%d-", os.Getpid())); err != nil {
		return nil, err
	}
	p, err := start(ctx, temporary, &ports, "DynamoDB Local", java,
		"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xmx512m",
		"-Djava.io.tmpdir="+temporary, "-Djava.library.path="+libs,
		"-cp", strings.Join(classpath, string(filepath.ListSeparator)), "DynamoDB")
	if err != nil {
		_ = os.RemoveAll(temporary)
		return nil, err
	}
	return &DynamoDB{process: p, endpoint: endpoint(ports.DynamoDB)}, nil
}

// Endpoint returns the URL of the service, for AWS_ENDPOINT_URL_DYNAMODB.
func (d *DynamoDB) Endpoint() string { return d.endpoint }

// Client returns a client of the service.
func (d *DynamoDB) Client() *dynamodb.Client { return dynamodb.NewFromConfig(Config(d.endpoint)) }

// Streams returns a client of its tables' streams.
func (d *DynamoDB) Streams() *dynamodbstreams.Client {
	return dynamodbstreams.NewFromConfig(Config(d.endpoint))
}

// AWS is a running emulator of SQS, SNS and S3 at one endpoint, and of SES v2
// at another.
type AWS struct {
	*process
	endpoint, mail string
}

// StartAWS starts SQS, SNS, S3 and SES v2, all empty, and returns when they
// answer. They run until Close or until ctx is done.
func StartAWS(ctx context.Context) (*AWS, error) {
	root, err := installed("the emulators are", javaClass)
	if err != nil {
		return nil, err
	}
	node, err := findNode(ctx, root)
	if err != nil {
		return nil, err
	}
	var ports struct{ AWS, Mail int }
	program := filepath.Join(root, directory, "aws.mjs")
	p, err := start(ctx, "", &ports, "the emulator of SQS, SNS, S3 and SES", node, program)
	if err != nil {
		return nil, err
	}
	return &AWS{process: p, endpoint: endpoint(ports.AWS), mail: endpoint(ports.Mail)}, nil
}

// Endpoint returns the URL of SQS, SNS and S3, for AWS_ENDPOINT_URL.
func (a *AWS) Endpoint() string { return a.endpoint }

// MailEndpoint returns the URL of SES v2, for AWS_ENDPOINT_URL_SESV2. A browser
// shows the inbox there, GET /store gives the mails as JSON, POST /clear-store
// forgets them.
func (a *AWS) MailEndpoint() string { return a.mail }

// Config returns the configuration for clients of an emulator.
func Config(endpoint string) aws.Config {
	return aws.Config{
		Region:       Region,
		Credentials:  credentials.NewStaticCredentialsProvider(AccessKey, AccessKey, ""),
		BaseEndpoint: aws.String(endpoint),
	}
}

// Environ returns the variables that make the AWS SDK of another process use
// the emulators. A nil emulator is left out.
func Environ(db *DynamoDB, aws *AWS) []string {
	env := []string{
		"AWS_REGION=" + Region,
		"AWS_ACCESS_KEY_ID=" + AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + AccessKey,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_RESPONSE_CHECKSUM_VALIDATION=when_required", // the S3 emulator gives none, which the SDK logs
	}
	if db != nil {
		env = append(env, "AWS_ENDPOINT_URL_DYNAMODB="+db.endpoint)
	}
	if aws != nil {
		env = append(env, "AWS_ENDPOINT_URL="+aws.endpoint, "AWS_ENDPOINT_URL_SESV2="+aws.mail)
	}
	return env
}

func endpoint(port int) string { return "http://127.0.0.1:" + strconv.Itoa(port) }

// Root returns the repository's directory, which programs and tests of every
// package reach from their own.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, directory, "package-lock.json")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the emulators are found from inside the repository only")
		}
		dir = parent
	}
}

// RuntimeInterface returns the path of the official Lambda Runtime Interface
// Emulator, which `make setup` installs.
func RuntimeInterface() (string, error) {
	const path = ".cache/bin/aws-lambda-rie"
	root, err := installed("the Lambda Runtime Interface Emulator is", path)
	return filepath.Join(root, path), err
}

// installed returns the repository's directory, if it has a file that `make
// setup` makes.
func installed(what, file string) (root string, err error) {
	if root, err = Root(); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(root, file)); err != nil {
		return "", errors.New(what + " not installed: run `make setup`")
	}
	return root, nil
}

// findNode returns the Node that was installed beside the emulators, else the
// one on the PATH if it is new enough.
func findNode(ctx context.Context, root string) (string, error) {
	arch := cmp.Or(map[string]string{"amd64": "x64"}[runtime.GOARCH], runtime.GOARCH)
	node := filepath.Join(root, modules, "node-"+runtime.GOOS+"-"+arch, "bin", "node")
	if _, err := os.Stat(node); err == nil {
		return node, nil
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return "", errors.New("the emulator of SQS, SNS, S3 and SES needs Node 22.5 or newer: install it")
	}
	version, err := exec.CommandContext(ctx, node, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask Node for its version: %w", err)
	}
	var major, minor int
	_, err = fmt.Sscanf(string(version), "v%d.%d", &major, &minor)
	if err != nil || major < 22 || major == 22 && minor < 5 {
		return "", fmt.Errorf("the emulator of SQS, SNS, S3 and SES needs Node 22.5 or newer: %s is %s",
			node, bytes.TrimSpace(version))
	}
	return node, nil
}

// A process is an emulator's operating system process. It ends when its
// standard input does, so nothing that happens to its parent leaves it behind.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{} // closed when the process has ended

	temporary string // its directory, removed at its end; "" for none
}

// start runs an emulator, in a directory of its own if there is one, and fills
// ports from the line of JSON that it prints when it is ready.
func start(ctx context.Context, temporary string, ports any, what, command string, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C reaches the parent only, which ends it in order
	cmd.Env = append(os.Environ(), "AWS_REGION="+Region)
	cmd.Dir = temporary
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", what, err)
	}
	p := &process{cmd: cmd, stdin: stdin, done: make(chan struct{}), temporary: temporary}
	ready := make(chan error, 1)
	go func() {
		out := bufio.NewReader(stdout)
		line, err := out.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, ports)
		}
		ready <- err
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		close(p.done)
	}()
	select {
	case err = <-ready:
	case <-time.After(startTimeout):
		err = fmt.Errorf("no answer within %s", startTimeout)
	}
	if err != nil {
		p.Close()
		if said := strings.TrimSpace(stderr.String()); said != "" {
			err = errors.New(strings.SplitN(said, "\n", 2)[0])
		}
		return nil, fmt.Errorf("start %s: %w", what, err)
	}
	return p, nil
}

// Close ends the emulator and returns when its process is gone.
func (p *process) Close() {
	_ = p.stdin.Close()
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	if p.temporary != "" {
		_ = os.RemoveAll(p.temporary)
	}
}

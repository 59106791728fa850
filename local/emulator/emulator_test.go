package emulator_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
)

var (
	db    *emulator.DynamoDB
	cloud *emulator.AWS
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if db, err = emulator.StartDynamoDB(context.Background()); err != nil {
		return 1, err
	}
	defer db.Close()
	if cloud, err = emulator.StartAWS(context.Background()); err != nil {
		return 1, err
	}
	defer cloud.Close()
	return m.Run(), nil
}

func TestListensOnLoopbackOnly(t *testing.T) {
	is := is.New(t)
	for _, endpoint := range []string{db.Endpoint(), cloud.Endpoint(), cloud.MailEndpoint()} {
		is.True(strings.HasPrefix(endpoint, "http://127.0.0.1:")) // the endpoint names the loopback address
	}
}

func TestTemporaryFilesGo(t *testing.T) {
	is := is.New(t)
	own := fmt.Sprintf("../../.cache/local/dynamodb-%d-*", os.Getpid())
	other, err := emulator.StartDynamoDB(t.Context())
	is.NoErr(err)
	during, err := filepath.Glob(own)
	is.NoErr(err)
	other.Close()
	after, err := filepath.Glob(own)
	is.NoErr(err)
	is.Equal(len(during), 2) // one for each that runs
	is.Equal(len(after), 1)  // the one that has ended left nothing
}

func TestCreateTable(t *testing.T) {
	is := is.New(t)
	ctx := t.Context()
	client := db.Client()
	is.NoErr(emulator.CreateTable(ctx, client, "orders"))

	for i := range 3 {
		item := map[string]types.AttributeValue{
			"PK":      &types.AttributeValueMemberS{Value: "tenant"},
			"SK":      &types.AttributeValueMemberS{Value: fmt.Sprint("order", i)},
			"GSI1_PK": &types.AttributeValueMemberS{Value: "tenant"},
			"GSI1_SK": &types.AttributeValueMemberS{Value: fmt.Sprint("date", i)},
			"GSI2_PK": &types.AttributeValueMemberS{Value: fmt.Sprint("order", i)},
			"GSI2_SK": &types.AttributeValueMemberS{Value: "METADATA"},
			"total":   &types.AttributeValueMemberN{Value: "1"},
			"items":   &types.AttributeValueMemberL{},
		}
		_, err := client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("orders"), Item: item})
		is.NoErr(err)
	}
	for _, index := range []struct {
		name, key, value string
		want             int32
		attributes       int
	}{
		{"OrdersByDateIndex", "GSI1_PK", "tenant", 3, 5}, // both keys, and of the rest total
		{"OrderByIdIndex", "GSI2_PK", "order1", 1, 4},    // both keys
	} {
		found, err := client.Query(ctx, &dynamodb.QueryInput{
			TableName:                 aws.String("orders"),
			IndexName:                 aws.String(index.name),
			KeyConditionExpression:    aws.String(index.key + " = :v"),
			ExpressionAttributeValues: map[string]types.AttributeValue{":v": &types.AttributeValueMemberS{Value: index.value}},
		})
		is.NoErr(err)
		is.Equal(found.Count, index.want)               // the index has the items of the partition
		is.Equal(len(found.Items[0]), index.attributes) // and no more of them than its readers need
	}
	table, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("orders")})
	is.NoErr(err)
	is.Equal(table.Table.StreamSpecification.StreamViewType, types.StreamViewTypeNewAndOldImages)
	ttl, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: aws.String("orders")})
	is.NoErr(err)
	is.Equal(aws.ToString(ttl.TimeToLiveDescription.AttributeName), "expiresAt")

	is.True(emulator.CreateTable(ctx, client, "orders") != nil) // a table that exists is an error
}

func TestPublishedMessageReachesQueue(t *testing.T) {
	is := is.New(t)
	ctx := t.Context()
	config := emulator.Config(cloud.Endpoint())
	queues, topics := sqs.NewFromConfig(config), sns.NewFromConfig(config)

	queue, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
	is.NoErr(err)
	topic, err := topics.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String("t")})
	is.NoErr(err)
	_, err = topics.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: topic.TopicArn, Protocol: aws.String("sqs"),
		Endpoint:   aws.String("arn:aws:sqs:" + emulator.Region + ":000000000000:q"),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	})
	is.NoErr(err)
	_, err = topics.Publish(ctx, &sns.PublishInput{TopicArn: topic.TopicArn, Message: aws.String("hello")})
	is.NoErr(err)
	got, err := queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 5})
	is.NoErr(err)
	is.Equal(len(got.Messages), 1)
	is.Equal(aws.ToString(got.Messages[0].Body), "hello") // raw delivery: no envelope
}

func TestObjectIsStored(t *testing.T) {
	is := is.New(t)
	ctx := t.Context()
	client := s3.NewFromConfig(emulator.Config(cloud.Endpoint()))
	_, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("bucket")})
	is.NoErr(err)
	_, err = client.PutObject(
		ctx,
		&s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String("a/b.txt"), Body: strings.NewReader("text")},
	)
	is.NoErr(err)
	got, err := client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("bucket"), Key: aws.String("a/b.txt")})
	is.NoErr(err)
	is.Equal(aws.ToInt64(got.ContentLength), int64(4))
}

func TestMailReachesInbox(t *testing.T) {
	is := is.New(t)
	ctx := t.Context()
	text := func(s string) *sestypes.Content { return &sestypes.Content{Data: aws.String(s)} }
	_, err := sesv2.NewFromConfig(emulator.Config(cloud.MailEndpoint())).SendEmail(ctx, &sesv2.SendEmailInput{
		FromEmailAddress: aws.String("orders@example.com"),
		Destination:      &sestypes.Destination{ToAddresses: []string{"someone@example.com"}},
		Content: &sestypes.EmailContent{Simple: &sestypes.Message{
			Subject: text("Hello"), Body: &sestypes.Body{Text: text("Body")},
		}},
	})
	is.NoErr(err)
	resp, err := http.Get(cloud.MailEndpoint() + "/store")
	is.NoErr(err)
	defer func() { _ = resp.Body.Close() }()
	var store struct{ Emails []struct{ Subject string } }
	is.NoErr(json.NewDecoder(resp.Body).Decode(&store))
	is.Equal(len(store.Emails), 1)
	is.Equal(store.Emails[0].Subject, "Hello")
}

func TestMissingInstallationIsOneLine(t *testing.T) {
	t.Run("outside the repository", func(t *testing.T) {
		is := is.New(t)
		t.Chdir(t.TempDir())
		_, err := emulator.StartAWS(t.Context())
		is.Equal(fmt.Sprint(err), "the emulators are found from inside the repository only")
	})
	t.Run("not installed", func(t *testing.T) {
		is := is.New(t)
		root := t.TempDir()
		is.NoErr(os.MkdirAll(root+"/local/emulator", 0o700))
		is.NoErr(os.WriteFile(root+"/local/emulator/package-lock.json", nil, 0o600))
		t.Chdir(root + "/local")
		_, err := emulator.StartDynamoDB(t.Context())
		is.Equal(fmt.Sprint(err), "the emulators are not installed: run `make setup`")
	})
	t.Run("no Java", func(t *testing.T) {
		is := is.New(t)
		t.Setenv("PATH", "")
		_, err := emulator.StartDynamoDB(t.Context())
		is.Equal(fmt.Sprint(err), "DynamoDB Local needs Java 17 or newer: install a JDK (on Debian: default-jdk-headless)")
	})
}

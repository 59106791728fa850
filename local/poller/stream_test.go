package poller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/emulator"
)

// fakeStream is a stream whose shards are closed: each ends with its last
// record. An iterator is a shard and a place in it.
type fakeStream struct {
	shards  []types.Shard
	records map[string][]string // sequence numbers, by shard

	mu       sync.Mutex
	describe error // of the next call
	expired  int   // reads that find their iterator expired
}

func (f *fakeStream) DescribeStream(
	_ context.Context,
	in *dynamodbstreams.DescribeStreamInput,
	_ ...func(*dynamodbstreams.Options),
) (*dynamodbstreams.DescribeStreamOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.describe; err != nil {
		f.describe = nil
		return nil, err
	}
	out := &types.StreamDescription{} // one shard a page
	for i, shard := range f.shards {
		if in.ExclusiveStartShardId == nil && i == 0 ||
			i > 0 && aws.ToString(in.ExclusiveStartShardId) == *f.shards[i-1].ShardId {
			out.Shards = f.shards[i : i+1]
			if i < len(f.shards)-1 {
				out.LastEvaluatedShardId = shard.ShardId
			}
		}
	}
	return &dynamodbstreams.DescribeStreamOutput{StreamDescription: out}, nil
}

func (f *fakeStream) GetShardIterator(
	_ context.Context,
	in *dynamodbstreams.GetShardIteratorInput,
	_ ...func(*dynamodbstreams.Options),
) (*dynamodbstreams.GetShardIteratorOutput, error) {
	place := 0
	for i, id := range f.records[*in.ShardId] {
		if in.ShardIteratorType == types.ShardIteratorTypeAfterSequenceNumber && id == *in.SequenceNumber {
			place = i + 1
		}
	}
	return &dynamodbstreams.GetShardIteratorOutput{ShardIterator: aws.String(fmt.Sprint(*in.ShardId, " ", place))}, nil
}

func (f *fakeStream) GetRecords(
	_ context.Context,
	in *dynamodbstreams.GetRecordsInput,
	_ ...func(*dynamodbstreams.Options),
) (*dynamodbstreams.GetRecordsOutput, error) {
	var shard string
	var place int
	if _, err := fmt.Sscan(aws.ToString(in.ShardIterator), &shard, &place); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.expired > 0 && place > 0 {
		f.expired--
		return nil, &types.ExpiredIteratorException{}
	}
	out := &dynamodbstreams.GetRecordsOutput{}
	end := min(place+int(*in.Limit), len(f.records[shard]))
	for _, id := range f.records[shard][place:end] {
		out.Records = append(out.Records, types.Record{EventName: types.OperationTypeInsert, Dynamodb: &types.StreamRecord{
			SequenceNumber: aws.String(id),
			Keys:           map[string]types.AttributeValue{"SK": &types.AttributeValueMemberS{Value: "ORDER#" + id}},
		}})
	}
	if end < len(f.records[shard]) {
		out.NextShardIterator = aws.String(fmt.Sprint(shard, " ", end))
	}
	return out, nil
}

// run reads a stream until so many invocations have ended, and returns what the
// function received in each: sequence numbers with a space between. The answer
// is what it says to that.
func run(
	t *testing.T,
	fake *fakeStream,
	mapping Stream,
	answer func(batch string) (string, error),
	invocations int,
) (batches []string) {
	t.Helper()
	mapping.Client, mapping.StreamARN, mapping.Wait = fake, "arn:aws:dynamodb:eu-west-1:1:table/t/stream/s", time.Minute
	mapping.Function = streamFunction(answer)
	ctx, cancel := context.WithCancel(t.Context())
	mapping.Observe = func(records []Record, _ []string, _ error) {
		batches = append(batches, strings.Join(sequence(records), " "))
		if len(batches) == invocations {
			cancel()
		}
	}
	mapping.Run(ctx)
	return batches
}

func sequence(records []Record) (ids []string) {
	for _, r := range records {
		ids = append(ids, r.Change.SequenceNumber)
	}
	return ids
}

type streamFunction func(batch string) (string, error)

func (f streamFunction) Invoke(_ context.Context, payload []byte, _ string) ([]byte, error) {
	var event struct{ Records []Record }
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	answer, err := f(strings.Join(sequence(event.Records), " "))
	return []byte(answer), err
}

// once answers a batch one after the other with what is given for it, then with
// nothing.
func once(answers map[string][]string) func(batch string) (string, error) {
	return func(batch string) (string, error) {
		said := answers[batch]
		if len(said) == 0 {
			return "", nil
		}
		answers[batch] = said[1:]
		if said[0] == "crash" {
			return "", errors.New("crash")
		}
		return `{"batchItemFailures":[{"itemIdentifier":"` + strings.ReplaceAll(
			said[0],
			" ",
			`"},{"itemIdentifier":"`,
		) + `"}]}`, nil
	}
}

func TestStream(t *testing.T) {
	shard := func(id, parent string) types.Shard { return types.Shard{ShardId: &id, ParentShardId: &parent} }
	one, four := []types.Shard{shard("a", "gone")}, map[string][]string{"a": {"1", "2", "3", "4"}}
	for _, c := range []struct {
		name    string
		fake    *fakeStream
		size    int
		filter  string
		answers map[string][]string
		want    []string
	}{
		{
			name: "in order and no more than allowed", fake: &fakeStream{shards: one, records: four}, size: 3,
			want: []string{"1 2 3", "4"},
		},
		{
			name: "from the lowest that failed", fake: &fakeStream{shards: one, records: four}, size: 4,
			answers: map[string][]string{"1 2 3 4": {"4 2"}, "2 3 4": {"2", "3"}},
			want:    []string{"1 2 3 4", "2 3 4", "2 3 4", "3 4"},
		},
		{
			name: "in halves after a crash", fake: &fakeStream{shards: one, records: four}, size: 4,
			answers: map[string][]string{"1 2 3 4": {"crash"}, "3 4": {"crash"}, "3": {"crash", "crash"}},
			want:    []string{"1 2 3 4", "1 2", "3 4", "3", "3", "3", "4"},
		},
		{
			name: "all again if the answer names another record",
			fake: &fakeStream{shards: one, records: map[string][]string{"a": {"1"}}}, size: 4,
			answers: map[string][]string{"1": {"7"}}, want: []string{"1", "1"},
		},
		{
			name: "only what the filter lets through", fake: &fakeStream{shards: one, records: four}, size: 3,
			filter: `{"dynamodb":{"Keys":{"SK":{"S":[{"prefix":"ORDER#4"}]}}}}`, want: []string{"4"},
		},
		{
			name: "on after an iterator expired", fake: &fakeStream{shards: one, records: four, expired: 2},
			size: 2, want: []string{"1 2", "3 4"},
		},
		{
			name: "although the stream could not be described at first",
			fake: &fakeStream{shards: one, records: four, describe: errors.New("throttled")}, size: 4,
			want: []string{"1 2 3 4"},
		},
		{
			name: "a shard after the one that it was split off",
			fake: &fakeStream{
				shards:  []types.Shard{shard("b", "a"), shard("a", ""), shard("c", "b")},
				records: map[string][]string{"a": {"1", "2"}, "b": {"3"}, "c": {"4"}},
			},
			size: 1, answers: map[string][]string{"1": {"1"}, "2": {"crash"}}, want: []string{"1", "1", "2", "2", "3", "4"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mapping := Stream{BatchSize: c.size, Filter: json.RawMessage(c.filter)}
				is.New(t).Equal(run(t, c.fake, mapping, once(c.answers), len(c.want)), c.want)
			})
		})
	}
}

func TestFilter(t *testing.T) {
	record := Record{EventName: "MODIFY", Change: Change{Keys: json.RawMessage(`{"SK":{"S":"ORDER#1"}}`)}}
	for pattern, want := range map[string]bool{
		``:                                  true,
		`{"eventName":["INSERT","MODIFY"]}`: true,
		`{"eventName":["REMOVE"]}`:          false,
		`{"eventName":[{"prefix":"MOD"}]}`:  true,
		`{"dynamodb":{"Keys":{"SK":{"S":["ORDER#1"]}}}}`:                       true,
		`{"eventName":["MODIFY"],"dynamodb":{"NewImage":{"active":["true"]}}}`: false,
		`{`: false,
	} {
		is := is.New(t)
		is.Equal((&Stream{Filter: json.RawMessage(pattern)}).matches(record), want) // pattern
	}
}

// TestStreamOfDynamoDB reads what DynamoDB Local says of a table's changes.
func TestStreamOfDynamoDB(t *testing.T) {
	is := is.New(t)
	db, err := emulator.StartDynamoDB(t.Context())
	is.NoErr(err)
	defer db.Close()
	is.NoErr(emulator.CreateTable(t.Context(), db.Client(), "orders"))
	table, err := db.Client().DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("orders")})
	is.NoErr(err)

	key := map[string]dynamodbtypes.AttributeValue{
		"PK": &dynamodbtypes.AttributeValueMemberS{Value: "t"},
		"SK": &dynamodbtypes.AttributeValueMemberS{Value: "o"},
	}
	for total := range 2 {
		item := map[string]dynamodbtypes.AttributeValue{
			"PK": key["PK"], "SK": key["SK"], "total": &dynamodbtypes.AttributeValueMemberN{Value: strconv.Itoa(total)},
			"history": &dynamodbtypes.AttributeValueMemberL{
				Value: []dynamodbtypes.AttributeValue{&dynamodbtypes.AttributeValueMemberBOOL{Value: true}},
			},
		}
		_, err = db.Client().PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("orders"), Item: item})
		is.NoErr(err)
	}
	_, err = db.Client().DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("orders"), Key: key})
	is.NoErr(err)

	ctx, cancel := context.WithCancel(t.Context())
	var got []events.DynamoDBEventRecord
	mapping := Stream{
		Client: db.Streams(), StreamARN: aws.ToString(table.Table.LatestStreamArn), BatchSize: 2, Wait: time.Millisecond,
		Filter: json.RawMessage(`{"eventName":["INSERT","MODIFY"]}`),
		Function: eventFunction(func(event events.DynamoDBEvent) {
			if got = append(got, event.Records...); len(got) == 2 {
				cancel()
			}
		}),
	}
	mapping.Run(ctx)
	is.Equal(got[0].EventName, "INSERT")
	is.Equal(got[0].EventSource, "aws:dynamodb")
	is.Equal(got[0].EventSourceArn, mapping.StreamARN)
	is.Equal(len(got[0].Change.OldImage), 0)
	is.True(time.Since(got[0].Change.ApproximateCreationDateTime.Time) < time.Hour) // seconds, not milliseconds
	is.Equal(got[1].EventName, "MODIFY")
	is.Equal(got[1].Change.Keys["SK"].String(), "o")
	is.Equal(got[1].Change.NewImage["total"].Number(), "1")
	is.Equal(got[1].Change.OldImage["total"].Number(), "0")
	is.True(got[1].Change.NewImage["history"].List()[0].Boolean())
	is.Equal(got[1].Change.StreamViewType, "NEW_AND_OLD_IMAGES")
	is.True(got[0].Change.SequenceNumber < got[1].Change.SequenceNumber)
}

type eventFunction func(events.DynamoDBEvent)

func (f eventFunction) Invoke(_ context.Context, payload []byte, _ string) ([]byte, error) {
	var event events.DynamoDBEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		return nil, err
	}
	f(event)
	return []byte(`{"batchItemFailures":[]}`), nil
}

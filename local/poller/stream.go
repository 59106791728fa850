package poller

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// Streams is what a mapping needs of DynamoDB's streams.
// *dynamodbstreams.Client has it.
type Streams interface {
	DescribeStream(context.Context, *dynamodbstreams.DescribeStreamInput, ...func(*dynamodbstreams.Options)) (
		*dynamodbstreams.DescribeStreamOutput, error)
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (
		*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (
		*dynamodbstreams.GetRecordsOutput, error)
}

// Stream is the mapping of a table's stream to a function
// (https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-params.html). It
// reads each shard from its beginning to its end, one batch at a time and in
// order, and a shard that was split off another when that one is read. Of
// several that are open it reads one: DynamoDB Local has no more. The lowest
// record that the function reports as failed comes again with all after it; a
// batch for which the function fails is halved first. No record is given up.
type Stream struct {
	Client    Streams
	StreamARN string
	BatchSize int             // records at most in one invocation
	Filter    json.RawMessage // the pattern that a record must match, or nothing
	Function  Invoker

	// Wait is the time between two looks at a shard that has nothing new, and
	// before records that failed come again.
	Wait time.Duration

	// Observe, if set, is told of every invocation: what the function received,
	// and either the sequence numbers that it reported or the error for which
	// all records come again.
	Observe func(records []Record, failed []string, err error)
}

// A Record is a change of an item, as the function receives it. The images are
// in DynamoDB's JSON.
type Record struct {
	EventID        string `json:"eventID"`
	EventName      string `json:"eventName"` // INSERT, MODIFY or REMOVE
	EventVersion   string `json:"eventVersion"`
	EventSource    string `json:"eventSource"`
	EventSourceARN string `json:"eventSourceARN"`
	AWSRegion      string `json:"awsRegion"`
	Change         Change `json:"dynamodb"`
}

// A Change is what a record says of the item.
type Change struct {
	ApproximateCreationDateTime int64 // seconds since 1970
	Keys                        json.RawMessage
	NewImage                    json.RawMessage `json:",omitempty"`
	OldImage                    json.RawMessage `json:",omitempty"`
	SequenceNumber              string
	SizeBytes                   int64
	StreamViewType              string
}

// Run reads until ctx is done.
func (s *Stream) Run(ctx context.Context) {
	read := map[string]bool{}
	for ctx.Err() == nil {
		shards := s.shards(ctx)
		isNext := func(shard types.Shard) bool {
			parent := aws.ToString(shard.ParentShardId)
			return !read[*shard.ShardId] && (read[parent] ||
				!slices.ContainsFunc(shards, func(s types.Shard) bool { return *s.ShardId == parent }))
		}
		next := slices.IndexFunc(shards, isNext)
		if next < 0 {
			sleep(ctx, pause)
			continue
		}
		id := *shards[next].ShardId
		s.shard(ctx, id)
		read[id] = true
	}
}

// shards returns the stream's shards, those of them that could be listed.
func (s *Stream) shards(ctx context.Context) (shards []types.Shard) {
	in := dynamodbstreams.DescribeStreamInput{StreamArn: &s.StreamARN}
	for {
		page, err := s.Client.DescribeStream(ctx, &in)
		if err != nil {
			return shards
		}
		shards = append(shards, page.StreamDescription.Shards...)
		if in.ExclusiveStartShardId = page.StreamDescription.LastEvaluatedShardId; in.ExclusiveStartShardId == nil {
			return shards
		}
	}
}

// shard reads a shard to its end.
func (s *Stream) shard(ctx context.Context, id string) {
	var iterator *string
	last := "" // sequence number of the last record that is done with
	for ctx.Err() == nil {
		if iterator == nil {
			iterator = s.iterator(ctx, id, last)
		}
		in := dynamodbstreams.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(int32(s.BatchSize))}
		page, err := s.Client.GetRecords(ctx, &in)
		if err != nil {
			iterator = nil // it expires while a record keeps failing
			sleep(ctx, s.Wait)
			continue
		}
		if n := len(page.Records); n > 0 {
			s.deliver(ctx, s.records(page.Records))
			last = aws.ToString(page.Records[n-1].Dynamodb.SequenceNumber)
		} else if page.NextShardIterator != nil {
			sleep(ctx, s.Wait)
		}
		if iterator = page.NextShardIterator; iterator == nil {
			return
		}
	}
}

// iterator returns where a shard is read on after a record, nil if that cannot
// be had now.
func (s *Stream) iterator(ctx context.Context, shard, last string) *string {
	in := dynamodbstreams.GetShardIteratorInput{
		StreamArn:         &s.StreamARN,
		ShardId:           &shard,
		ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	}
	if last != "" {
		in.ShardIteratorType, in.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &last
	}
	out, err := s.Client.GetShardIterator(ctx, &in)
	if err != nil {
		return nil
	}
	return out.ShardIterator
}

// deliver invokes the function until all records are done with or ctx is done.
func (s *Stream) deliver(ctx context.Context, records []Record) {
	for len(records) > 0 && ctx.Err() == nil {
		done, err := s.invoke(context.WithoutCancel(ctx), records)
		if err != nil && len(records) > 1 {
			half := (len(records) + 1) / 2
			s.deliver(ctx, records[:half])
			done = half
		}
		if records = records[done:]; len(records) > 0 && done == 0 {
			sleep(ctx, s.Wait)
		}
	}
}

// invoke returns how many records are done with: those before the first one
// that failed.
func (s *Stream) invoke(ctx context.Context, records []Record) (done int, err error) {
	ids := make([]string, len(records))
	for i, record := range records {
		ids[i] = record.Change.SequenceNumber
	}
	failed, err := invoke(ctx, s.Function, struct{ Records []Record }{records}, ids)
	if s.Observe != nil {
		s.Observe(records, failed, err)
	}
	if err != nil {
		return 0, err
	}
	for done < len(ids) && !slices.Contains(failed, ids[done]) {
		done++
	}
	return done, nil
}

// records returns what the function receives of a page: the records that match
// the filter.
func (s *Stream) records(page []types.Record) []Record {
	var matching []Record
	for _, r := range page {
		record := Record{
			EventID: aws.ToString(r.EventID), EventName: string(r.EventName), EventVersion: aws.ToString(r.EventVersion),
			EventSource: "aws:dynamodb", EventSourceARN: s.StreamARN, AWSRegion: strings.Split(s.StreamARN+":::::", ":")[3],
			Change: Change{
				Keys: image(r.Dynamodb.Keys), NewImage: image(r.Dynamodb.NewImage), OldImage: image(r.Dynamodb.OldImage),
				ApproximateCreationDateTime: aws.ToTime(r.Dynamodb.ApproximateCreationDateTime).Unix(),
				SequenceNumber:              aws.ToString(r.Dynamodb.SequenceNumber), SizeBytes: aws.ToInt64(r.Dynamodb.SizeBytes),
				StreamViewType: string(r.Dynamodb.StreamViewType),
			},
		}
		if s.matches(record) {
			matching = append(matching, record)
		}
	}
	return matching
}

// image returns an item as DynamoDB's JSON, nothing for none.
func image(item map[string]types.AttributeValue) json.RawMessage {
	if item == nil {
		return nil
	}
	values, err := attributevalue.FromDynamoDBStreamsMap(item)
	if err != nil {
		return nil // it knows every type that there is
	}
	text, err := attributevalue.MarshalMapJSON(values)
	if err != nil {
		return nil // so does this
	}
	return text
}

func (s *Stream) matches(record Record) bool {
	if len(s.Filter) == 0 {
		return true
	}
	var pattern, value any
	text, err := json.Marshal(record)
	if err != nil || json.Unmarshal(text, &value) != nil || json.Unmarshal(s.Filter, &pattern) != nil {
		return false
	}
	return matches(pattern, value)
}

// matches reports whether a value matches a pattern of Lambda's event
// filtering, as far as deploy/roles.json uses it: equal values, and prefixes
// (https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html).
func matches(pattern, value any) bool {
	switch pattern := pattern.(type) {
	case map[string]any:
		fields, _ := value.(map[string]any)
		for name, inner := range pattern {
			if !matches(inner, fields[name]) {
				return false
			}
		}
		return true
	case []any:
		return slices.ContainsFunc(pattern, func(rule any) bool {
			if prefix, ok := rule.(map[string]any); ok {
				start, isText := prefix["prefix"].(string)
				text, hasText := value.(string)
				return isText && hasText && strings.HasPrefix(text, start)
			}
			return rule == value
		})
	}
	return false
}

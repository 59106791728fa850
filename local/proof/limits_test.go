package proof

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	sestypes "github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/matryer/is"
)

// What DynamoDB does and DynamoDB Local does not, in virtual time: writes that
// meet, and an item that takes no more.

type counters struct {
	client *dynamodb.Client
	world  *World
}

// inVirtualTime runs a test against a table whose calls take 10 ms.
func inVirtualTime(t *testing.T, test func(is *is.I, c counters)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(time.Now)
		w.Latency = func(*Call) time.Duration { return 10 * time.Millisecond }
		test(is.New(t), counters{dynamodb.NewFromConfig(awsConfig(w)), w})
	})
}

func counterKey(name string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"PK": &types.AttributeValueMemberS{Value: "TENANT#acme"}, "SK": &types.AttributeValueMemberS{Value: name},
	}
}

var one = map[string]types.AttributeValue{":n": &types.AttributeValueMemberN{Value: "1"}}

func (c counters) add(name string) error {
	_, err := c.client.UpdateItem(context.Background(), &dynamodb.UpdateItemInput{
		TableName: aws.String(tableName), Key: counterKey(name), UpdateExpression: aws.String("ADD n :n"),
		ExpressionAttributeValues: one,
	})
	return err
}

func (c counters) addAll(names ...string) error {
	var in dynamodb.TransactWriteItemsInput
	for _, name := range names {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Update: &types.Update{
			TableName: aws.String(tableName), Key: counterKey(name), UpdateExpression: aws.String("ADD n :n"),
			ExpressionAttributeValues: one,
		}})
	}
	_, err := c.client.TransactWriteItems(context.Background(), &in)
	return err
}

// meet does two things, the second while the first is under way.
func meet(first, second func() error) (firstErr, secondErr error) {
	var group sync.WaitGroup
	group.Go(func() { firstErr = first() })
	time.Sleep(5 * time.Millisecond)
	secondErr = second()
	group.Wait()
	return firstErr, secondErr
}

func TestWritesThatMeet(t *testing.T) {
	for _, test := range []struct {
		name          string
		first, second func(c counters) error
		refused       string
	}{
		{"two plain writes", func(c counters) error { return c.add("a") }, func(c counters) error { return c.add("a") }, ""},
		{
			"a plain write and a transaction under way", func(c counters) error { return c.addAll("a", "b") },
			func(c counters) error { return c.add("b") }, "TransactionConflictException",
		},
		{
			"a transaction and a plain write under way", func(c counters) error { return c.add("b") },
			func(c counters) error { return c.addAll("a", "b") }, "[None TransactionConflict]",
		},
		{
			"two transactions", func(c counters) error { return c.addAll("a", "b") },
			func(c counters) error { return c.addAll("b", "c") }, "[TransactionConflict None]",
		},
		{
			"two transactions apart",
			func(c counters) error { return c.addAll("a", "b") },
			func(c counters) error { return c.addAll("c") },
			"",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			inVirtualTime(t, func(is *is.I, c counters) {
				first, second := meet(func() error { return test.first(c) }, func() error { return test.second(c) })
				is.NoErr(first) // whoever comes first
				is.Equal(refusal(second), test.refused)
				is.NoErr(test.second(c)) // and now alone
			})
		})
	}
}

// refusal returns the code of an error, or the reasons of a transaction's.
func refusal(err error) string {
	var cancelled *types.TransactionCanceledException
	var conflict *types.TransactionConflictException
	switch {
	case errors.As(err, &cancelled):
		var codes []string
		for _, r := range cancelled.CancellationReasons {
			codes = append(codes, aws.ToString(r.Code))
		}
		return fmt.Sprint(codes)
	case errors.As(err, &conflict):
		return "TransactionConflictException"
	case err != nil:
		return err.Error()
	default:
		return ""
	}
}

func TestLimitOfAnItem(t *testing.T) {
	inVirtualTime(t, func(is *is.I, c counters) {
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
		refused := 0
		var mu sync.Mutex
		var group sync.WaitGroup
		for range 1100 {
			group.Go(func() {
				if c.add("a") != nil {
					mu.Lock()
					refused++
					mu.Unlock()
				}
			})
		}
		group.Wait()
		is.Equal(refused, 100)
		is.NoErr(c.add("b")) // another item
		used := c.world.Table.Usage()
		is.Equal(used.WriteUnits, 1001.0)
		is.Equal(used.Refused, map[string]int{"ThrottlingError": 100})
		time.Sleep(time.Second)
		is.NoErr(c.add("a")) // another second
	})
}

// A read that is not consistent shows what was before, and so does an index.
func TestLag(t *testing.T) {
	inVirtualTime(t, func(is *is.I, c counters) {
		ctx := context.Background()
		lag := 5 * time.Second
		c.world.Table.Lag = func(*Call) time.Duration { return lag }
		get := func(consistent bool) int {
			out, err := c.client.GetItem(ctx, &dynamodb.GetItemInput{
				TableName: aws.String(tableName), Key: counterKey("a"), ConsistentRead: &consistent,
			})
			is.NoErr(err)
			return len(out.Item)
		}
		byID := func() int {
			out, err := c.client.Query(ctx, &dynamodb.QueryInput{
				TableName: aws.String(tableName), IndexName: aws.String("OrderByIdIndex"),
				KeyConditions: map[string]types.Condition{"GSI2_PK": {
					ComparisonOperator: types.ComparisonOperatorEq,
					AttributeValueList: []types.AttributeValue{&types.AttributeValueMemberS{Value: "ORDER#1"}},
				}},
			})
			is.NoErr(err)
			return len(out.Items)
		}
		item := counterKey("a")
		item["GSI2_PK"], item["GSI2_SK"] = &types.AttributeValueMemberS{Value: "ORDER#1"}, item["SK"]
		_, err := c.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(tableName), Item: item})
		is.NoErr(err)
		is.Equal([]int{get(true), get(false), byID()}, []int{4, 0, 0})
		time.Sleep(lag)
		is.Equal([]int{get(true), get(false), byID()}, []int{4, 4, 1})
		_, err = c.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: aws.String(tableName), Key: counterKey("a"),
		})
		is.NoErr(err)
		is.Equal([]int{get(true), get(false), byID()}, []int{0, 4, 1}) // still there
		lag = 0
		is.Equal([]int{get(false), byID()}, []int{0, 0})
	})
}

// A tester sends messages to a queue and receives them.
type tester struct {
	*Queue
	world *World
}

// send sends a message of each group that a letter names.
func (q tester) send(is *is.I, groups string) {
	client := sqs.NewFromConfig(awsConfig(q.world))
	for _, group := range strings.Split(groups, "") {
		in := &sqs.SendMessageInput{
			QueueUrl: aws.String(q.world.Env("create_order")["SQS_QUEUE_URL"]), MessageBody: aws.String(group),
		}
		if group != "-" {
			in.MessageGroupId = &group
		}
		_, err := client.SendMessage(context.Background(), in)
		is.NoErr(err)
	}
}

// receive takes messages from a queue, and returns whose they are.
func (q tester) receive(most int) (groups string) {
	for _, m := range q.Receive(most, func(Message) bool { return true }) {
		groups += m.Body
	}
	return groups
}

func TestQueue(t *testing.T) {
	for _, tt := range []struct {
		name string
		test func(is *is.I, q tester)
	}{
		{"messages come in the order of their sending", func(is *is.I, q tester) {
			q.send(is, "aba-")
			is.Equal(q.receive(10), "aba-")
		}},
		{"a noisy group comes last, until none of it waits", func(is *is.I, q tester) {
			q.send(is, strings.Repeat("a", 32))
			is.Equal(len(q.receive(29)), 29)
			q.send(is, "b")
			is.Equal(q.receive(1), "a") // of 29 in flight: that is not noisy
			is.Equal(q.receive(10), "baa")
			q.send(is, "ab")
			is.Equal(q.receive(1), "b") // it is noisy again, with what is still in flight
		}},
		{"of noisy groups, the one with fewer in flight is first", func(is *is.I, q tester) {
			q.send(is, strings.Repeat("aab", 30))
			q.receive(90)
			q.send(is, "ab-")
			is.Equal(q.receive(10), "-ba")
		}},
		{"no more are in flight than may be", func(is *is.I, q tester) {
			q.InFlight = 2
			q.send(is, "abc")
			is.Equal(q.receive(10), "ab")
			is.Equal(q.receive(10), "")
			time.Sleep(time.Hour)
			is.Equal(q.receive(10), "ab") // they are visible again
		}},
		{"none lives longer than two weeks, dead or alive", func(is *is.I, q tester) {
			q.send(is, "a")
			for range maxReceives + 1 {
				q.receive(1)
				time.Sleep(time.Hour)
			}
			is.Equal(len(q.Dead().Messages()), 1)
			time.Sleep(13 * 24 * time.Hour)
			q.send(is, "b")
			is.Equal(len(q.Dead().Messages()), 1)
			time.Sleep(24 * time.Hour)
			is.Equal(len(q.Dead().Messages()), 0) // its age counts from its sending
			is.Equal(q.receive(10), "b")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(time.Now)
				tt.test(is.New(t), tester{w.Queue("order_creator_record"), w})
			})
		})
	}
}

func TestMailRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		w := newWorld(time.Now)
		w.MailRate = 2
		client := sesv2.NewFromConfig(awsConfig(w))
		var refused []bool
		for range 2 {
			for range 3 {
				_, err := client.SendEmail(context.Background(), &sesv2.SendEmailInput{Content: &sestypes.EmailContent{}})
				var limit *sestypes.TooManyRequestsException
				refused = append(refused, errors.As(err, &limit))
			}
			time.Sleep(time.Second)
		}
		is.Equal(refused, []bool{false, false, true, false, false, true})
		is.Equal(len(w.Mails()), 4)
	})
}

package world_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/proof/world"
)

// What DynamoDB does and DynamoDB Local does not, in virtual time: writes that
// meet, and an item that takes no more.

type counters struct {
	client *dynamodb.Client
	world  *world.World
}

// inVirtualTime runs a test against a table whose calls take 10 ms.
func inVirtualTime(t *testing.T, test func(is *is.I, c counters)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := world.New(time.Now)
		w.Latency = func(*world.Call) time.Duration { return 10 * time.Millisecond }
		test(is.New(t), counters{dynamodb.NewFromConfig(world.Config(w)), w})
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
		TableName: aws.String(world.TableName), Key: counterKey(name), UpdateExpression: aws.String("ADD n :n"),
		ExpressionAttributeValues: one,
	})
	return err
}

func (c counters) addAll(names ...string) error {
	var in dynamodb.TransactWriteItemsInput
	for _, name := range names {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Update: &types.Update{
			TableName: aws.String(world.TableName), Key: counterKey(name), UpdateExpression: aws.String("ADD n :n"),
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
		{"two transactions apart", func(c counters) error { return c.addAll("a", "b") }, func(c counters) error { return c.addAll("c") }, ""},
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

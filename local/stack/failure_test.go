package stack_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/matryer/is"

	"github.com/bbws/order-lambda/local/gateway"
	"github.com/bbws/order-lambda/local/lambdaapi"
	"github.com/bbws/order-lambda/order"
)

func TestRecorderDiesWhilePublishing(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	var id string
	var mu sync.Mutex
	died := false
	mu.Lock() // until the id is known
	hooks.add(t, func(role, aws, body string, _ *http.Request) bool {
		if role != recorder || aws != "sns" {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		if died || !strings.Contains(body, id) {
			return true
		}
		died = true
		service.Kill(recorder)
		return false
	})
	id = u.place("cart-good")
	mu.Unlock()

	u.finished(id) // with one mail each
	is.Equal(published(t, id), []order.EventType{order.EventCreated})
	var ended []error
	for _, b := range service.Batches(recorder) {
		for _, change := range b.Changes {
			image := string(change.Change.NewImage)
			if strings.Contains(image, id) && strings.Contains(image, `"history"`) {
				ended = append(ended, b.Err)
			}
		}
	}
	is.True(len(ended) >= 2)
	is.True(ended[0] != nil)      // the first time ended with the process
	is.NoErr(ended[len(ended)-1]) // then the record came again
}

func TestBatchOfTenWithThreeBadMessages(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	bad := map[int]string{2: `{"not": "an order"}`, 5: "no JSON", 7: creation(u, lambdaapi.NewID(), "cart-empty")}
	entries := make([]types.SendMessageBatchRequestEntry, 10)
	var good []string
	for i := range entries {
		body, isBad := bad[i]
		if !isBad {
			id := lambdaapi.NewID()
			good = append(good, id)
			body = creation(u, id, "cart-good")
		}
		entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: aws.String(body)}
	}
	before := len(batches(recorder))
	in := sqs.SendMessageBatchInput{QueueUrl: aws.String(service.QueueURL(recorder)), Entries: entries}
	sent, err := service.SQS.SendMessageBatch(t.Context(), &in)
	is.NoErr(err)
	want := make([]string, 0, len(bad))
	for _, s := range sent.Successful {
		var i int
		_, err := fmt.Sscan(aws.ToString(s.Id), &i)
		is.NoErr(err)
		if _, isBad := bad[i]; isBad {
			want = append(want, aws.ToString(s.MessageId))
		}
	}
	eventually(t, "the batch is handled", func() bool { return len(batches(recorder)) > before })
	first := batches(recorder)[before]
	is.NoErr(first.Err)
	is.Equal(len(first.Messages), 10) // one batch
	got := slices.Clone(first.Failed)
	slices.Sort(got)
	slices.Sort(want)
	is.Equal(got, want) // exactly the bad ones are reported
	for _, id := range good {
		is.Equal(u.recorded(id).CartID, "cart-good") // the others are recorded
	}
	eventually(t, "the bad messages reach the dead-letter queue", func() bool {
		dead := deadLetters(t)
		return !slices.ContainsFunc(want, func(id string) bool { return !slices.Contains(dead, id) })
	})
}

func duplicates(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := lambdaapi.NewID()
	const times = 5
	for range times {
		is.NoErr(service.Deliver(t.Context(), recorder, creation(u, id, "cart-good")))
	}
	eventually(t, "every message is handled", func() bool { return handled(recorder, id) == times })
	o := u.finished(id)                                                   // with one mail each
	is.Equal(len(o.History), 1)                                           // one record
	is.Equal(len(u.list("")), 1)                                          // one order
	is.True(u.recorded(u.place("cart-good")).OrderNumber > o.OrderNumber) // numbers rise
}

func cartFailsTwice(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-flaky-" + lambdaapi.NewID())
	is.Equal(len(u.recorded(id).Items), 1)
	eventually(t, "the delivery ends", func() bool { return len(deliveries(recorder, id)) == 1 })
	is.True(!deliveries(recorder, id)[0].failed) // the client's own retries were enough
}

func cartDown(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-late-" + lambdaapi.NewID())
	u.finished(id)
	got := deliveries(recorder, id)
	is.Equal(len(got), 3)
	for _, d := range got {
		is.True(!d.failed) // an outage is no failed try: a copy of the message waits for the cart
	}
	is.True(got[0].messageID != got[1].messageID)
}

func cartMissing(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-missing")
	var o gateway.Order
	eventually(t, "the order says failed", func() bool {
		o = u.order(id)
		return o.Status == "failed"
	})
	is.True(o.FailureReason != "") // with a reason
	eventually(t, "the message is in the dead-letter queue", func() bool {
		got := deliveries(recorder, id)
		return len(got) >= 3 && slices.Contains(deadLetters(t), got[0].messageID)
	})
	is.Equal(len(deliveries(recorder, id)), 3) // after three receives, and not more
	is.Equal(handled(recorder, id), 0)
	is.Equal(u.order(id).Status, order.Failed)
	is.Equal(u.call("PUT", "/v1.0/orders/"+id, `{"status": "paid"}`).Status, http.StatusConflict)
}

func concurrentUpdates(t *testing.T) {
	is := is.New(t)
	u := newUser(t)
	id := u.place("cart-good")
	u.finished(id)
	var both sync.WaitGroup // both have read before one writes
	both.Add(2)
	hooks.add(t, func(role, _, body string, r *http.Request) bool {
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		if role == "update_order" && action == "UpdateItem" && strings.Contains(body, id) {
			both.Done()
			both.Wait()
		}
		return true
	})
	answers := make(chan gateway.Answer, 2)
	for _, status := range []string{"paid", "cancelled"} {
		go func() { answers <- u.put(id, `{"status": "`+status+`"}`) }()
	}
	first, second := <-answers, <-answers
	if first.Status != http.StatusOK {
		first, second = second, first
	}
	is.Equal(first.Status, http.StatusOK)
	is.Equal(second.Status, http.StatusConflict)
	is.Equal(second.Code, "order_changed")
	// What is stored is what was answered with 200.
	is.Equal(u.order(id).Status, data[gateway.Order](t, first).Status)
}

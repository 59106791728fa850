package proof

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// A source delivers the messages of a queue to a function, as Lambda's event
// source mapping does.
type source struct {
	role        string
	queue       *Queue
	batch, most int
	busy        int
}

// late is how much later than asked a message comes again. The service's pauses
// have a jitter that the seed does not decide; up to its upper bound the message
// is therefore late, and sometimes a good deal more.
func (sim *simulation) late(m *Message, asked time.Duration) time.Duration {
	before, most := m.Receives-1, 10*time.Minute
	if m.Receives == 0 { // It was put off.
		n, _ := strconv.Atoi(m.Attributes["attempt"].StringValue)
		before, most = n-1, 15*time.Minute
	}
	bound := min(10*time.Second<<min(max(before, 0), 10), most)
	var late time.Duration
	if 0 < asked && asked <= bound {
		late = bound - asked
	}
	if r := sim.chance("late " + m.ID + m.Handle); sim.happens(r, 0.1) {
		late += time.Duration(r.IntN(600)) * time.Second
	}
	return late
}

// poll starts one batch, if there is something to deliver and a function free
// for it.
func (sim *simulation) poll() bool {
	for _, i := range sim.rng.Perm(len(sim.sources) + 1) {
		if i == len(sim.sources) {
			if sim.pollStream() {
				return true
			}
			continue
		}
		s := sim.sources[i]
		if s.busy >= s.most {
			continue
		}
		// Some are left for later, so that the order of delivery is not that of
		// sending. Two messages about one order come in batches of their own:
		// in one batch nothing would tell their calls apart when the run is
		// repeated.
		about := map[string]bool{}
		messages := s.queue.Receive(1+sim.rng.IntN(s.batch), func(m Message) bool {
			id := orderOf(m.Body)
			if about[id] || sim.rng.IntN(6) == 0 {
				return false
			}
			about[id] = true
			return true
		})
		if len(messages) > 0 {
			sim.deliver(s, messages)
			return true
		}
	}
	return false
}

func (sim *simulation) deliver(s *source, messages []Message) {
	event := events.SQSEvent{}
	for _, m := range messages {
		event.Records = append(event.Records, m.record())
		sim.Count("deliveries")
		if m.Receives > 1 {
			sim.Count("redeliveries")
		}
		// SQS may deliver a message again while it is being handled.
		if r := sim.chance("twice " + m.Handle); sim.happens(r, sim.o.Twice) {
			s.queue.Show(m.Handle, time.Duration(r.IntN(40))*time.Second)
			sim.Count("visibility run out")
		}
	}
	payload, err := json.Marshal(event)
	if err != nil {
		sim.t.Fatal(err)
	}
	for _, m := range messages {
		sim.trace(fmt.Sprintf("deliver %s %d %s", m.ID, m.Receives, m.Body))
	}
	s.busy++
	inv := sim.invoke(s.role, payload, func(inv *invocation, r result) {
		s.busy--
		sim.deleteDone(s, inv, messages, r)
	})
	for _, m := range messages {
		if s.role == recorder && m.Receives == maxReceives {
			var creation struct{ OrderID, TenantID, CartID string }
			_ = json.Unmarshal([]byte(m.Body), &creation) // Noise has no order.
			inv.last[creation.TenantID+" "+creation.CartID] = creation.OrderID
			sim.gaveUp[creation.OrderID] = inv
		}
	}
}

// deleteDone deletes the messages of a batch that were handled.
func (sim *simulation) deleteDone(s *source, inv *invocation, messages []Message, r result) {
	if r.payload == nil {
		inv.failures = len(messages)
		return
	}
	var answer events.SQSEventResponse
	if err := json.Unmarshal(r.payload, &answer); err != nil {
		sim.Broken("%s answered what is no batch response: %s", inv.Name, r.payload)
		return
	}
	failed := map[string]bool{}
	for _, f := range answer.BatchItemFailures {
		if !slices.ContainsFunc(messages, func(m Message) bool { return m.ID == f.ItemIdentifier }) ||
			failed[f.ItemIdentifier] {
			sim.Broken("%s reported %q, which it was not given, or twice", inv.Name, f.ItemIdentifier)
		}
		failed[f.ItemIdentifier] = true
	}
	inv.failures = len(failed)
	sim.checkBatch(inv)
	for _, m := range messages {
		// Who came to his deadline had no time to say so: on the grid, what is
		// tidied up in a second takes all of it.
		if failed[m.ID] && !strings.Contains(inv.delayed, m.Handle) && time.Now().Before(inv.deadline) {
			sim.Broken("%s reported %s as failed, and never said when it should come again", inv.Name, m.ID)
		}
		if failed[m.ID] && !inv.short && strings.Contains(m.Body, unknownType) {
			sim.Broken("%s failed on an event that is not for it: %s", inv.Name, m.Body)
		}
		switch {
		case failed[m.ID]:
			sim.Count("messages failed")
		case sim.happens(sim.chance("delete "+m.Handle), 0.01):
			sim.Count("deletes lost") // It comes again after its visibility timeout.
		default:
			s.queue.Delete(m.Handle)
		}
	}
	sim.trace("done " + inv.Name + strings.Repeat("!", len(failed)))
}

// A reading is how far the event source mapping is with a shard of the stream.
type reading struct {
	busy  bool
	from  time.Time // when it goes on
	batch int       // how many records next at most, after failures
	tries int
}

const (
	streamBatch = 100 // contract, section 1
	mostShards  = 8
)

func (sim *simulation) reading(s *Shard) *reading {
	r := sim.shards[s.Name]
	if r == nil {
		r = &reading{batch: streamBatch}
		sim.shards[s.Name] = r
	}
	return r
}

// pollStream starts a batch of the table's stream. Late, now and then, and in
// batches of any size. In every other run the mapping's filter is off, and the
// role has to tell orders from other items.
func (sim *simulation) pollStream() bool {
	for _, shard := range sim.world.Table.Shards() {
		reading := sim.reading(shard)
		if reading.busy || reading.from.After(time.Now()) {
			continue
		}
		records := sim.world.Table.Records(shard, 1+sim.rng.IntN(reading.batch))
		if len(records) == 0 {
			continue
		}
		wanted := records
		if sim.o.Seed%4 < 2 {
			wanted = slices.DeleteFunc(slices.Clone(records), func(r Record) bool { return !r.IsOrder() })
		}
		if len(wanted) == 0 {
			sim.world.Table.Advance(shard, len(records))
			return true
		}
		sim.deliverRecords(shard, reading, records, wanted)
		return true
	}
	return false
}

func (sim *simulation) deliverRecords(shard *Shard, reading *reading, records, wanted []Record) {
	sim.trace(fmt.Sprintf("stream %s %s %d", shard.Name, wanted[0].Sequence, len(wanted)))
	sim.Count("stream batches")
	sim.Add("stream records", len(wanted))
	reading.busy = true
	sim.invoke(recorder, streamEvent(wanted), func(inv *invocation, r result) {
		inv.excused, reading.busy = true, false // A batch of the stream fails as a whole.
		done := sim.recordsDone(inv, wanted, r)
		if done < 0 { // The function failed as a whole: the batch is halved.
			reading.batch = max(1, len(records)/2)
			reading.tries++
			reading.from = time.Now().Add(time.Second << min(reading.tries, 6))
			sim.Count("stream batches failed")
			return
		}
		reading.batch, reading.tries = streamBatch, 0
		n := len(records)
		if done < len(wanted) {
			n = slices.IndexFunc(records, func(r Record) bool { return r.Sequence == wanted[done].Sequence })
			reading.from = time.Now().Add(time.Second)
			sim.Count("stream batches that failed in part")
		}
		sim.proceed(shard, reading, n)
	})
}

// proceed goes on after n records: or later, or from an earlier place again, or
// with the shard split.
func (sim *simulation) proceed(shard *Shard, reading *reading, n int) {
	r := sim.chance(fmt.Sprintf("stream %s %d", shard.Name, sim.serial))
	switch {
	case sim.happens(r, 0.05):
		n -= r.IntN(streamBatch)
		sim.Count("stream read again")
	case sim.happens(r, 0.05):
		reading.from = time.Now().Add(time.Duration(r.IntN(600)) * time.Second)
		sim.Count("stream late")
	case sim.happens(r, 0.03) && len(sim.shards) < mostShards:
		sim.world.Table.Split(r.IntN(mostShards))
		sim.Count("shards split")
	}
	sim.world.Table.Advance(shard, n)
}

// recordsDone returns how many of a batch's records are done with, or -1.
func (sim *simulation) recordsDone(inv *invocation, records []Record, r result) int {
	if r.payload == nil {
		return -1
	}
	var answer events.DynamoDBEventResponse
	if err := json.Unmarshal(r.payload, &answer); err != nil || len(answer.BatchItemFailures) > 1 {
		sim.Broken("%s answered what is no stream response: %s", inv.Name, r.payload)
		return -1
	}
	if len(answer.BatchItemFailures) == 0 {
		return len(records)
	}
	failed := answer.BatchItemFailures[0].ItemIdentifier
	i := slices.IndexFunc(records, func(r Record) bool { return r.Sequence == failed })
	if i < 0 {
		sim.Broken("%s reported %q, which it was not given", inv.Name, failed)
	}
	return i
}

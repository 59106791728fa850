package proof

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"time"
)

// A Stream is the table's stream of new and old images. The changes of an item
// are in one shard at a time, in their order; a shard that has split goes on in
// two others, which are to be read after it.
type Stream struct {
	shards []*Shard
	serial int
}

// A Shard is a part of a stream.
type Shard struct {
	Name    string
	parent  *Shard
	closed  bool
	low     uint64 // hashes of partition keys from
	high    uint64 // and to
	records []Record
	read    int // so many are done with
}

// A Record is one change of an item; nil stands for its absence.
type Record struct {
	Sequence      string // its place in the stream, as text that sorts
	Before, After Item
	at            time.Time
	expired       bool // DynamoDB deleted it, for its time was over
}

// retention is how long a stream keeps a record.
const retention = 24 * time.Hour

func newStream() *Stream {
	return &Stream{shards: []*Shard{{Name: "shard-0", high: math.MaxUint64}}}
}

func (s *Stream) add(r Record, partition string) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(partition))
	hash := h.Sum64()
	s.serial++
	r.Sequence = fmt.Sprintf("%021d", s.serial)
	for _, shard := range s.shards {
		if !shard.closed && shard.low <= hash && hash <= shard.high {
			shard.records = append(shard.records, r)
		}
	}
}

// Split closes a shard, the n-th of those that are open, and lets two others go
// on in its place.
func (t *Table) Split(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var open []*Shard
	for _, shard := range t.stream.shards {
		if !shard.closed {
			open = append(open, shard)
		}
	}
	old := open[n%len(open)]
	if old.low == old.high {
		return
	}
	old.closed = true
	middle := old.low + (old.high-old.low)/2
	for _, half := range [][2]uint64{{old.low, middle}, {middle + 1, old.high}} {
		t.stream.shards = append(t.stream.shards, &Shard{
			Name: fmt.Sprintf("shard-%d", len(t.stream.shards)), parent: old, low: half[0], high: half[1],
		})
	}
}

// Shards returns the shards that may be read now and have something to read.
func (t *Table) Shards() (ready []*Shard) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, shard := range t.stream.shards {
		if shard.read < len(shard.records) && shard.parent.done() {
			ready = append(ready, shard)
		}
	}
	return ready
}

// done reports whether a shard and those before it are read to their ends.
func (s *Shard) done() bool {
	return s == nil || s.read == len(s.records) && s.parent.done()
}

// Records returns the next records of a shard, at most so many.
func (t *Table) Records(s *Shard, most int) []Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s.read < len(s.records) && t.now().Sub(s.records[s.read].at) > retention {
		s.records[s.read] = Record{}
		s.read++
	}
	return s.records[s.read:min(s.read+most, len(s.records))]
}

// Advance notes that so many records of a shard are done with; a number below
// zero goes back, as a reader does that starts again from an earlier place.
func (t *Table) Advance(s *Shard, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.read = max(0, s.read+n)
}

// IsOrder reports whether the mapping's filter lets the record pass: there is an
// order after it.
func (r Record) IsOrder() bool { return r.After.Text("entityType") == "ORDER" }

// streamEvent returns the event with which Lambda hands records to a function.
func streamEvent(records []Record) []byte {
	type change struct {
		ApproximateCreationDateTime float64
		Keys                        Item
		NewImage, OldImage          Item `json:",omitempty"`
		SequenceNumber              string
		StreamViewType              string
	}
	type record struct {
		EventID      string            `json:"eventID"`
		EventName    string            `json:"eventName"`
		EventSource  string            `json:"eventSource"`
		Region       string            `json:"awsRegion"`
		Change       change            `json:"dynamodb"`
		UserIdentity map[string]string `json:"userIdentity,omitempty"`
	}
	var event struct{ Records []record }
	for _, r := range records {
		out := record{
			EventID: "event-" + r.Sequence, EventName: "MODIFY", EventSource: "aws:dynamodb", Region: region,
			Change: change{
				float64(r.at.Unix()), nil, r.After, r.Before, r.Sequence, "NEW_AND_OLD_IMAGES",
			},
		}
		there := r.After
		switch {
		case r.Before == nil:
			out.EventName = "INSERT"
		case r.After == nil:
			out.EventName, there = "REMOVE", r.Before
		}
		if r.expired {
			out.UserIdentity = map[string]string{"type": "Service", "principalId": "dynamodb.amazonaws.com"}
		}
		out.Change.Keys = Item{"PK": there["PK"], "SK": there["SK"]}
		event.Records = append(event.Records, out)
	}
	text, err := json.Marshal(event)
	if err != nil {
		panic(err) // Items came as JSON.
	}
	return text
}

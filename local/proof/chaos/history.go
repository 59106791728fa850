package chaos

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bbws/order-lambda/local/proof/world"
)

// checkHistories replays every order's versions against a model of who may do
// what: every version is the one before with one act applied, so that each change
// is in the history once and in order, and nothing is lost.
func (sim *simulation) checkHistories() {
	for id, versions := range sim.history {
		for i, v := range versions {
			if i == 0 {
				sim.checkAcceptance(id, v)
				continue
			}
			was := versions[i-1]
			want := maps.Clone(was.item)
			var err error
			switch v.role() {
			case "":
				want["active"] = v.item["active"]
				sim.count("orders deleted")
			case recorder:
				err = recordedOrFailed(want, v.item)
			case "order_pdf_creator":
				err = documented(want, v.item)
			case "update_order":
				err = sim.updated(id, want, v)
			case "order_internal_notifier", customerMailer:
				err = mailFailed(want, v.item, v.role())
			default:
				err = fmt.Errorf("is not for it to change")
			}
			if err != nil {
				sim.broken("order %s: %s by %s", id, err, v.who())
			} else if a, b := text(want), text(v.item); a != b {
				sim.broken("order %s: %s made\n%s of\n%s", id, v.who(), b, a)
			}
			// Who changes or records an order does so only where it is not
			// deleted; who notes something on it may have read it before.
			atOnce := v.role() == "update_order" || v.role() == recorder
			if v.by != nil && !was.active() && (atOnce || v.by.since >= was.serial) {
				sim.broken("order %s was changed by %s after it was deleted", id, v.who())
			}
		}
	}
}

// checkAcceptance: an order begins as accepted, at the moment of its acceptance
// by the clock of whoever accepted it.
func (sim *simulation) checkAcceptance(id string, v version) {
	if v.role() != recorder && v.role() != "create_order" || v.item.Text("status") != "pending" || isRecorded(v.item) ||
		v.item.Text("expiresAt") == "" ||
		v.item.Text("GSI1_PK") != "" {
		sim.broken("order %s began as %s by %s", id, text(v.item), v.who())
	}
	accepted := v.item.Text("dateCreated")
	if claimed, ok := sim.claims[id]; ok { // Who finishes another one's acceptance keeps its time.
		if accepted != claimed {
			sim.broken("order %s is dated %s, and its key %s", id, accepted, claimed)
		}
	} else if !v.by.ran(accepted) {
		sim.broken("order %s is dated %s, which is not when it was accepted", id, accepted)
	}
}

// ran reports whether a time is one at which the invocation ran, by its clock.
func (i *invocation) ran(at string) bool {
	t, err := time.Parse(time.RFC3339Nano, at)
	return err == nil && !t.Before(i.began.Truncate(time.Microsecond)) && (i.ended.IsZero() || !t.After(i.ended))
}

// recordedOrFailed: recording completes an accepted order once, and keeps its
// number and time; failing notes why, on one that is not recorded. A failure is
// only taken back by the record.
func recordedOrFailed(want, is world.Item) error {
	if isRecorded(want) {
		return fmt.Errorf("changed after it was recorded")
	}
	if !isRecorded(is) {
		want["status"], want["failureReason"], want["expiresAt"] = is["status"], is["failureReason"], is["expiresAt"]
		if is.Text("status") != "failed" || is.Text("failureReason") == "" {
			return fmt.Errorf("came to say %s", is.Text("status"))
		}
		return nil
	}
	history := entries(is)
	first := history[0]
	if len(history) != 1 || textOf(first, "type") != "order.created" || textOf(first, "status") != "pending" ||
		textOf(first, "date") != want.Text("dateCreated") || textOf(first, "by") == "" {
		return fmt.Errorf("began with the history %v", history)
	}
	if is.Text("status") != "pending" || is.Text("GSI1_PK") != is.Text("PK") || is.Text("expiresAt") != "" {
		return fmt.Errorf("was recorded as %s", text(is))
	}
	kept := maps.Clone(want)
	for _, name := range []string{"status", "failureReason", "expiresAt", "lastUpdatedBy"} {
		delete(kept, name)
	}
	clear(want)
	maps.Copy(want, is)
	maps.Copy(want, kept) // What was accepted stays.
	return nil
}

// documented: a document is noted, and its note does not change.
func documented(want, is world.Item) error {
	was, now := *want["documents"].M, *is["documents"].M
	for kind, note := range was {
		if text(*note.M) != text(*now[kind].M) {
			return fmt.Errorf("%s changed to %s", kind, text(*now[kind].M))
		}
	}
	want["documents"] = is["documents"]
	return nil
}

// mailFailed: a mail that can never be sent is noted once.
func mailFailed(want, is world.Item, role string) error {
	was, now := entries(want), entries(is)
	if len(now) != len(was)+1 {
		return fmt.Errorf("has a history of %d after %d", len(now), len(was))
	}
	note := now[len(was)]
	if textOf(note, "type") != "mail.failed" || !strings.Contains(textOf(note, "reason"), role) ||
		textOf(note, "status") != want.Text("status") {
		return fmt.Errorf("got the note %s", text(note))
	}
	for _, e := range was {
		if textOf(e, "type") == "mail.failed" && textOf(e, "reason") == textOf(note, "reason") {
			return fmt.Errorf("got the note %q twice", textOf(note, "reason"))
		}
	}
	addEntry(want, note)
	return nil
}

func addEntry(item world.Item, entry map[string]world.Value) {
	list := append(slices.Clone(*item["history"].L), world.Value{M: &entry})
	item["history"] = world.Value{L: &list}
}

func textValue(s string) world.Value { return world.Value{S: &s} }

// updated applies what a client asked for, by the contract written out once
// more.
func (sim *simulation) updated(id string, want world.Item, v version) error {
	u := sim.changes[v.by]
	if u == nil || u.orderID != id {
		return fmt.Errorf("changed without being asked to")
	}
	was := maps.Clone(want)
	if u.actor.tenant != was.Text("tenantId") && !slices.Contains(u.actor.groups, "admin") {
		return fmt.Errorf("changed for a stranger")
	}
	if u.paying() && !u.actor.mayPay(sim.paymentGroup()) {
		return fmt.Errorf("set a payment for somebody who may not")
	}
	if u.ifMatch != "" && u.ifMatch != tag(was) {
		return fmt.Errorf("changed from %s although If-Match was %s", tag(was), u.ifMatch)
	}
	if v.item.Text("dateLastUpdated") <= was.Text("dateLastUpdated") {
		return fmt.Errorf(
			"went back in time: %s after %s",
			v.item.Text("dateLastUpdated"),
			was.Text("dateLastUpdated"),
		)
	}
	entry, err := u.apply(want)
	if err != nil {
		return err
	}
	history := entries(v.item)
	if len(history) == 0 {
		return fmt.Errorf("lost its history")
	}
	for name, value := range map[string]world.Value{
		"date": v.item["dateLastUpdated"], "by": textValue(u.actor.name()), "traceId": history[len(history)-1]["traceId"],
	} {
		if value != (world.Value{}) {
			entry[name] = value
		}
	}
	want["dateLastUpdated"], want["lastUpdatedBy"] = v.item["dateLastUpdated"], textValue(u.actor.name())
	addEntry(want, entry)
	return nil
}

func tag(item world.Item) string { return `"` + item.Text("dateLastUpdated") + `"` }

// paying reports whether the update is one of payment (contract, section 3).
func (u *change) paying() bool {
	status, _ := u.update["status"].(string)
	return u.update["paymentDetails"] != nil ||
		slices.Contains([]string{"paid", "processing", "completed", "refunded"}, status)
}

// apply changes an order's item as the update asks, and returns the entry of its
// history.
func (u *change) apply(item world.Item) (entry map[string]world.Value, err error) {
	edges := map[string][]string{
		"pending":         {"payment_pending", "paid", "cancelled"},
		"payment_pending": {"paid", "cancelled"},
		"paid":            {"processing", "refunded"},
		"processing":      {"completed", "refunded"},
		"completed":       {"refunded"},
		"cancelled":       {"refunded"},
	}
	from := item.Text("status")
	details, paid := u.update["paymentDetails"].(map[string]any)
	entry = map[string]world.Value{"type": textValue("order.payment_updated")}
	if to, ok := u.update["status"].(string); ok && to != from {
		switch {
		case !slices.Contains(edges[from], to):
			return nil, fmt.Errorf("moved from %s to %s", from, to)
		case from == "cancelled" && !paid:
			return nil, fmt.Errorf("refunded what was never paid")
		}
		item["status"], entry["type"] = textValue(to), textValue("order."+to)
		if reason, ok := u.update["reason"].(string); ok {
			entry["reason"] = textValue(reason)
		}
		from = to
	}
	entry["status"] = textValue(from)
	if !paid {
		return entry, nil
	}
	if from == "pending" || from == "cancelled" {
		return nil, fmt.Errorf("took payment details while %s", from)
	}
	if u.overwrites(item) && u.ifMatch == "" {
		return nil, fmt.Errorf("overwrote a payment unseen")
	}
	merged, set := map[string]world.Value{}, map[string]world.Value{}
	if old := item["paymentDetails"].M; old != nil {
		merged = maps.Clone(*old)
	}
	before := maps.Clone(merged)
	for name, v := range details {
		merged[name], set[name] = textValue(v.(string)), textValue(v.(string))
	}
	item["paymentDetails"] = world.Value{M: &merged}
	if text(before) != text(merged) {
		entry["paymentDetails"] = world.Value{M: &set}
	}
	return entry, nil
}

// overwrites reports whether the update names another payment than the order
// has.
func (u *change) overwrites(item world.Item) bool {
	details, _ := u.update["paymentDetails"].(map[string]any)
	if item["paymentDetails"].M == nil {
		return false
	}
	for _, name := range []string{"transactionId", "payfastPaymentId"} {
		was, is := textOf(*item["paymentDetails"].M, name), details[name]
		if was != "" && is != nil && is != was {
			return true
		}
	}
	return false
}

// checkChanges: a PUT that is answered 200 took effect once, or changed nothing;
// one that is refused took none, and had a reason to be.
func (sim *simulation) checkChanges() {
	effects := map[*invocation]int{}
	for _, versions := range sim.history {
		for _, v := range versions {
			effects[v.by]++
		}
	}
	for inv, u := range sim.changes {
		sim.checkAnswer(inv, u, effects[inv])
	}
}

func (sim *simulation) checkAnswer(inv *invocation, u *change, effects int) {
	versions := sim.history[u.orderID]
	fail := func(why string) {
		sim.broken("order %s: %s answered %d %s, %s", u.orderID, inv.name, u.call.status, u.call.code, why)
	}
	if effects > 1 {
		fail(fmt.Sprintf("and took effect %d times", effects))
	}
	_, gone := sim.deletion(u.orderID)
	lost := u.call.status == http.StatusConflict || u.call.status == http.StatusNotFound && gone
	if effects > 0 && u.call.status >= 400 && u.call.status < 500 && !lost {
		fail("and took effect") // A lost answer aside, before somebody else's update or deletion.
	}
	switch {
	case u.call.status == http.StatusOK:
		shown, _ := u.call.data["dateLastUpdated"].(string)
		i := slices.IndexFunc(
			versions,
			func(v version) bool { return isRecorded(v.item) && v.item.Text("dateLastUpdated") == shown },
		)
		if i < 0 || u.call.header["ETag"] != `"`+shown+`"` {
			fail("with a version that never was: " + shown)
		} else if effects == 1 && versions[i].by != inv {
			fail("with somebody else's version")
		}
		if status, ok := u.update["status"].(string); ok && u.call.data["status"] != status {
			fail(fmt.Sprintf("asked for %s, with %v", status, u.call.data["status"]))
		}
	case u.call.code == "payment_exists":
		if !slices.ContainsFunc(
			versions,
			func(v version) bool { return u.overwrites(v.item) && v.serial <= inv.until },
		) {
			fail("although there was no other payment")
		}
	case u.call.status == http.StatusConflict:
		if effects == 1 {
			sim.count(
				"409 after it took effect",
			) // Its answer was lost, and somebody else's update came before the second try.
		}
		if !sim.lostRace(inv, u) {
			fail("although nobody else came in between")
		}
	case u.call.status == http.StatusForbidden:
		if !u.paying() || u.actor.mayPay(sim.paymentGroup()) {
			fail("although it was allowed")
		}
	case u.call.status == http.StatusNotFound:
		foreign := u.actor.tenant != sim.last(u.orderID).Text("tenantId")
		if !gone && slices.ContainsFunc(versions, func(v version) bool {
			return v.serial <= inv.since && (isRecorded(v.item) || !foreign)
		}) {
			fail("although it is there")
		}
	}
}

// lostRace reports whether a PUT had a reason to be answered 409: somebody else
// updated the order while it ran, and after its own effect if it had one; or the
// order was not yet recorded when it began.
func (sim *simulation) lostRace(inv *invocation, u *change) bool {
	versions := sim.history[u.orderID]
	if u.call.code == "order_not_recorded" {
		return !slices.ContainsFunc(
			versions,
			func(v version) bool { return isRecorded(v.item) && v.serial <= inv.since },
		)
	}
	since := inv.since
	for _, v := range versions {
		if v.by == inv {
			since = v.serial
		}
	}
	return slices.ContainsFunc(versions, func(v version) bool {
		return v.by != inv && v.role() == "update_order" && since < v.serial && v.serial <= inv.until
	})
}

// checkEvents: every entry of every history was published at least once, but for
// what is told to nobody, and first in the order of the history.
func (sim *simulation) checkEvents() {
	for id := range sim.history {
		before := 0
		for i, e := range entries(sim.last(id)) {
			p := sim.events[id+"#"+strconv.Itoa(i+1)]
			if textOf(e, "type") == "mail.failed" {
				continue
			}
			if p.times == 0 {
				sim.broken("order %s: its %s was never published", id, textOf(e, "type"))
			} else if p.first < before {
				sim.broken("order %s: its %s was published before what came first", id, textOf(e, "type"))
			}
			before = max(before, p.first)
			sim.add("events published again", max(0, p.times-1))
		}
	}
	sim.add("events", len(sim.events))
}

package proof

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// checkHistories replays every order's versions against a model of who may do
// what: every version is the one before with one act applied, so that each change
// is in the history once and in order, and nothing is lost.
func (a *Account) checkHistories() {
	for id, versions := range a.history {
		for i, v := range versions {
			if i == 0 {
				a.checkAcceptance(id, v)
				continue
			}
			was := versions[i-1]
			want := maps.Clone(was.item)
			var err error
			switch v.role() {
			case "":
				want["active"] = v.item["active"]
				a.Count("orders deleted")
			case recorder:
				err = recordedOrFailed(want, v.item)
			case "order_pdf_creator":
				err = documented(want, v.item)
			case "update_order":
				err = a.updated(id, want, v)
			case "order_internal_notifier", customerMailer:
				err = mailFailed(want, v.item, v.role())
			default:
				err = fmt.Errorf("is not for it to change")
			}
			if err != nil {
				a.Broken("order %s: %s by %s", id, err, v.who())
			} else if made, is := text(want), text(v.item); made != is {
				a.Broken("order %s: %s made\n%s of\n%s", id, v.who(), is, made)
			}
			// Who changes or records an order does so only where it is not
			// deleted; who notes something on it may have read it before.
			atOnce := v.role() == "update_order" || v.role() == recorder
			if v.by != nil && !was.active() && (atOnce || v.by.Since >= was.serial) {
				a.Broken("order %s was changed by %s after it was deleted", id, v.who())
			}
		}
	}
}

// checkAcceptance: an order begins as accepted, at the moment of its acceptance
// by the clock of whoever accepted it.
func (a *Account) checkAcceptance(id string, v version) {
	if v.role() != recorder && v.role() != "create_order" || v.item.Text("status") != "pending" || isRecorded(v.item) ||
		v.item.Text("expiresAt") == "" ||
		v.item.Text("GSI1_PK") != "" {
		a.Broken("order %s began as %s by %s", id, text(v.item), v.who())
	}
	accepted := v.item.Text("dateCreated")
	if claimed, ok := a.claims[id]; ok { // Who finishes another one's acceptance keeps its time.
		if accepted != claimed {
			a.Broken("order %s is dated %s, and its key %s", id, accepted, claimed)
		}
	} else if !v.by.ran(accepted) {
		a.Broken("order %s is dated %s, which is not when it was accepted", id, accepted)
	}
}

// recordedOrFailed: recording completes an accepted order once, and keeps its
// number and time; failing notes why, on one that is not recorded. A failure is
// only taken back by the record.
func recordedOrFailed(want, is Item) error {
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
	history := entriesOf(is)
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
func documented(want, is Item) error {
	now := documents(is)
	for kind, note := range documents(want) {
		if text(note) != text(now[kind]) {
			return fmt.Errorf("%s changed to %s", kind, text(now[kind]))
		}
	}
	want["documents"] = is["documents"]
	return nil
}

// mailFailed: a mail that can never be sent is noted once.
func mailFailed(want, is Item, role string) error {
	was, now := entriesOf(want), entriesOf(is)
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

func addEntry(item Item, entry map[string]Value) {
	list := append(slices.Clone(*item["history"].L), Value{M: &entry})
	item["history"] = Value{L: &list}
}

func textValue(s string) Value { return Value{S: &s} }

// updated applies what a client asked for, by the contract written out once
// more.
func (a *Account) updated(id string, want Item, v version) error {
	u := a.Changes[v.by]
	if u == nil || u.OrderID != id {
		return fmt.Errorf("changed without being asked to")
	}
	was := maps.Clone(want)
	if u.Actor.Tenant != was.Text("tenantId") && !slices.Contains(u.Actor.Groups, "admin") {
		return fmt.Errorf("changed for a stranger")
	}
	if u.paying() && !u.Actor.mayPay(a.PaymentGroup) {
		return fmt.Errorf("set a payment for somebody who may not")
	}
	if u.IfMatch != "" && u.IfMatch != tag(was) {
		return fmt.Errorf("changed from %s although If-Match was %s", tag(was), u.IfMatch)
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
	history := entriesOf(v.item)
	if len(history) == 0 {
		return fmt.Errorf("lost its history")
	}
	for name, value := range map[string]Value{
		"date": v.item["dateLastUpdated"], "by": textValue(u.Actor.name()), "traceId": history[len(history)-1]["traceId"],
	} {
		if value != (Value{}) {
			entry[name] = value
		}
	}
	want["dateLastUpdated"], want["lastUpdatedBy"] = v.item["dateLastUpdated"], textValue(u.Actor.name())
	addEntry(want, entry)
	return nil
}

func tag(item Item) string { return `"` + item.Text("dateLastUpdated") + `"` }

// paying reports whether the update is one of payment (contract, section 3).
func (u *Change) paying() bool {
	status, _ := u.Update["status"].(string)
	return u.Update["paymentDetails"] != nil ||
		slices.Contains([]string{"paid", "processing", "completed", "refunded"}, status)
}

// apply changes an order's item as the update asks, and returns the entry of its
// history.
func (u *Change) apply(item Item) (entry map[string]Value, err error) {
	edges := map[string][]string{
		"pending":         {"payment_pending", "paid", "cancelled"},
		"payment_pending": {"paid", "cancelled"},
		"paid":            {"processing", "refunded"},
		"processing":      {"completed", "refunded"},
		"completed":       {"refunded"},
		"cancelled":       {"refunded"},
	}
	from := item.Text("status")
	details, paid := u.Update["paymentDetails"].(map[string]any)
	entry = map[string]Value{"type": textValue("order.payment_updated")}
	if to, ok := u.Update["status"].(string); ok && to != from {
		switch {
		case !slices.Contains(edges[from], to):
			return nil, fmt.Errorf("moved from %s to %s", from, to)
		case from == "cancelled" && !paid:
			return nil, fmt.Errorf("refunded what was never paid")
		}
		item["status"], entry["type"] = textValue(to), textValue("order."+to)
		if reason, ok := u.Update["reason"].(string); ok {
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
	if u.overwrites(item) && u.IfMatch == "" {
		return nil, fmt.Errorf("overwrote a payment unseen")
	}
	merged, set := map[string]Value{}, map[string]Value{}
	if old := item["paymentDetails"].M; old != nil {
		merged = maps.Clone(*old)
	}
	before := maps.Clone(merged)
	for name, v := range details {
		merged[name], set[name] = textValue(v.(string)), textValue(v.(string))
	}
	item["paymentDetails"] = Value{M: &merged}
	if text(before) != text(merged) {
		entry["paymentDetails"] = Value{M: &set}
	}
	return entry, nil
}

// overwrites reports whether the update names another payment than the order
// has.
func (u *Change) overwrites(item Item) bool {
	details, _ := u.Update["paymentDetails"].(map[string]any)
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
func (a *Account) checkChanges() {
	effects := map[*Run]int{}
	for _, versions := range a.history {
		for _, v := range versions {
			effects[v.by]++
		}
	}
	for inv, u := range a.Changes {
		a.checkAnswer(inv, u, effects[inv])
	}
}

func (a *Account) checkAnswer(inv *Run, u *Change, effects int) {
	versions := a.history[u.OrderID]
	fail := func(why string) {
		a.Broken("order %s: %s answered %d %s, %s", u.OrderID, inv.Name, u.Call.Status, u.Call.Code, why)
	}
	if effects > 1 {
		fail(fmt.Sprintf("and took effect %d times", effects))
	}
	_, gone := a.Deletion(u.OrderID)
	lost := u.Call.Status == http.StatusConflict || u.Call.Status == http.StatusNotFound && gone
	if effects > 0 && u.Call.Status >= 400 && u.Call.Status < 500 && !lost {
		fail("and took effect") // A lost answer aside, before somebody else's update or deletion.
	}
	switch {
	case u.Call.Status == http.StatusOK:
		shown, _ := u.Call.Data["dateLastUpdated"].(string)
		i := slices.IndexFunc(
			versions,
			func(v version) bool { return isRecorded(v.item) && v.item.Text("dateLastUpdated") == shown },
		)
		if i < 0 || u.Call.Header["ETag"] != `"`+shown+`"` {
			fail("with a version that never was: " + shown)
		} else if effects == 1 && versions[i].by != inv {
			fail("with somebody else's version")
		}
		if status, ok := u.Update["status"].(string); ok && u.Call.Data["status"] != status {
			fail(fmt.Sprintf("asked for %s, with %v", status, u.Call.Data["status"]))
		}
	case u.Call.Code == "payment_exists":
		if !slices.ContainsFunc(
			versions,
			func(v version) bool { return u.overwrites(v.item) && v.serial <= inv.Until },
		) {
			fail("although there was no other payment")
		}
	case u.Call.Status == http.StatusConflict:
		if effects == 1 {
			a.Count(
				"409 after it took effect",
			) // Its answer was lost, and somebody else's update came before the second try.
		}
		if !a.lostRace(inv, u) {
			fail("although nobody else came in between")
		}
	case u.Call.Status == http.StatusForbidden:
		if !u.paying() || u.Actor.mayPay(a.PaymentGroup) {
			fail("although it was allowed")
		}
	case u.Call.Status == http.StatusNotFound:
		foreign := u.Actor.Tenant != a.Last(u.OrderID).Text("tenantId")
		if !gone && slices.ContainsFunc(versions, func(v version) bool {
			return v.serial <= inv.Since && (!foreign || isRecorded(v.item) && inv.Start.Sub(v.at) > indexLag)
		}) {
			fail("although it is there")
		}
	}
}

// lostRace reports whether a PUT had a reason to be answered 409: somebody else
// updated the order while it ran, and after its own effect if it had one; or the
// order was not yet recorded when it began.
func (a *Account) lostRace(inv *Run, u *Change) bool {
	versions := a.history[u.OrderID]
	if u.Call.Code == "order_not_recorded" {
		return !slices.ContainsFunc(
			versions,
			func(v version) bool { return isRecorded(v.item) && v.serial <= inv.Since },
		)
	}
	since := inv.Since
	for _, v := range versions {
		if v.by == inv {
			since = v.serial
		}
	}
	return slices.ContainsFunc(versions, func(v version) bool {
		return v.by != inv && v.role() == "update_order" && since < v.serial && v.serial <= inv.Until
	})
}

// checkEvents: every entry of every history was published at least once, but for
// what is told to nobody, and first in the order of the history.
func (a *Account) checkEvents() {
	for id := range a.history {
		before := 0
		for i, e := range entriesOf(a.Last(id)) {
			p := a.events[id+"#"+strconv.Itoa(i+1)]
			if textOf(e, "type") == "mail.failed" {
				continue
			}
			if p.times == 0 {
				a.Broken("order %s: its %s was never published", id, textOf(e, "type"))
			} else if p.first < before {
				a.Broken("order %s: its %s was published before what came first", id, textOf(e, "type"))
			}
			before = max(before, p.first)
			a.Add("events published again", max(0, p.times-1))
		}
	}
	a.Add("events", len(a.events))
}

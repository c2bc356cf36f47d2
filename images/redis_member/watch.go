// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A State is what the server says of itself.
type State struct {
	Role      string
	Master    string // a replica's, by name
	Link      bool   // to the master, with all data received
	Receiving bool   // a replica gets all data anew
	Rewriting bool   // the append-only file is being written anew
	ReplID    string
	Offset    int64
}

// stateOf reads INFO replication and persistence; false while the server loads its data.
func (o *options) stateOf(info map[string]string) (State, bool) {
	state := State{
		Role: master, ReplID: info["master_replid"], Offset: number(info["master_repl_offset"]),
		Rewriting: info["aof_rewrite_in_progress"] == "1" || info["aof_rewrite_scheduled"] == "1",
	}
	if info["role"] == "slave" {
		state.Role, state.Master = replica, o.nameOf(info["master_host"])
		state.Receiving = info["master_sync_in_progress"] == "1"
		state.Link = info["master_link_status"] == "up" && !state.Receiving
		state.Offset = number(info["slave_repl_offset"])
	}
	return state, info["role"] != "" && info["loading"] != "1" && info["async_loading"] != "1"
}

// follow brings a record up to what the server says now. view: the newest of the sentinels'; empty when none answers.
//
// Of a replica the record moves only when what it has received is on the disk as well: after a synchronisation the file is written anew, and
// until that is done the volume holds what was there before.
func (r Record) follow(me string, now State, view View, file int64, at time.Time) Record {
	if view.Master != "" && (r.HeardMaster == "" || view.Epoch >= r.HeardEpoch) {
		r.HeardEpoch, r.HeardMaster = view.Epoch, view.Master
	}
	r.Role = now.Role
	from := me
	if now.Role == replica {
		from = now.Master
		r.Unsettled = r.Unsettled || now.Receiving
		if !now.Link || now.Rewriting {
			return r
		}
	}
	r.Unsettled = r.Unsettled && now.Rewriting
	switch {
	case view.Master == from && view.Epoch >= r.Epoch, r.Master == "":
		r.Epoch, r.Master = cmp.Or(view.Epoch, r.Epoch), from
	case r.Master != from: // one whom the sentinels do not (or not yet) call master
		return r
	}
	r.ReplID, r.Offset, r.File, r.At = now.ReplID, now.Offset, file, at.UnixMilli()
	return r
}

// ready says why a member does not serve its part.
func (e Evidence) ready() error {
	switch {
	case e.Phase != running:
		return &unready{e.Phase + ": " + e.Decision}
	case e.Role == replica && !e.Link:
		return &unready{"the link to the master is down"}
	}
	return nil
}

type unready struct{ why string }

func (u *unready) Error() string { return u.why }

// A watcher lives as long as one process of the server.
type watcher struct {
	*server
	views    viewer
	saved    Record
	compared time.Time // when the set's identity was
	answered time.Time // when the master that a replica waits for last did
	serving  bool
}

func newWatcher(s *server) *watcher {
	return &watcher{server: s, views: viewer{sentinels: s.sentinels}, saved: s.told.read().Record, answered: time.Now()}
}

func (w *watcher) run(stop <-chan struct{}) {
	go w.views.run(stop)
	for {
		select {
		case <-stop:
			return
		case <-time.After(askEvery):
		}
		info, err := w.local.info("replication", "persistence")
		select {
		case <-stop: // it may be another process that has answered
			return
		default:
		}
		if state, serves := w.o.stateOf(info); err == nil && serves {
			w.observe(state)
		} else if err == nil || !w.serving {
			w.told.update(func(e *Evidence) { e.Phase = starting })
		}
	}
}

// observe writes down what the server says, and gives or takes a replica's priority.
func (w *watcher) observe(now State) {
	if !w.serving {
		w.serving = true
		say("the server serves as %s", now.Role)
	}
	before := w.told.read()
	size := fileSize(w.o.data)
	record := before.Record.follow(w.o.name, now, w.views.newest(), size, time.Now())
	if !w.single() && time.Since(w.compared) >= adoptEvery && (now.Role == master || now.Link && !now.Rewriting) {
		w.compared = time.Now()
		record.Set = w.identity(now, record.Set)
	}
	if record.newer(w.saved) {
		if err := record.save(w.o.data); err != nil {
			say("the evidence cannot be written: %v", err)
		} else {
			w.saved = record
		}
	}
	w.told.update(func(e *Evidence) {
		e.Record, e.Phase, e.Link, e.Data, e.Vote = record, running, now.Link, true, Vote{}
		e.Grown = max(0, size-record.File)
	})
	if !w.single() {
		w.prioritise(before, now)
	}
}

// prioritise gives a replica its priority when its data are the master's, or when the master is lost; a master that became a replica has none
// until it has synchronised, since it may hold writes that the others never had.
func (w *watcher) prioritise(before Evidence, now State) {
	wanted := before.Promotable
	switch {
	case now.Role == master:
		wanted = true
	case now.Link && !now.Rewriting:
		wanted = true
	case before.Phase == running && before.Role == master:
		wanted = false
	case !wanted && !now.Link:
		situation := w.situation(0)
		name := w.views.newest().Master
		if _, answers := situation.Seen[name]; answers || name == "" {
			w.answered = time.Now()
		}
		wanted = name != "" && mayBePromoted(situation, name, time.Since(w.answered))
		if wanted {
			say("%s does not come back with its data, and those here are the newest: the sentinels may choose this member", name)
		}
	}
	first := before.Phase != running
	if wanted == before.Promotable && !(first && now.Role == master) {
		return
	}
	if err := w.allow(wanted); err != nil {
		say("the sentinels cannot be told whether they may choose this member: %v", err)
		return
	}
	w.told.update(func(e *Evidence) { e.Promotable = wanted })
}

// allow says to the sentinels whether they may choose this replica, and sees to it that they cannot when they may not.
func (w *watcher) allow(promotion bool) error {
	priority := 0
	if promotion {
		priority = fullPriority
	}
	rules := []any{"ACL", "SETUSER", sentinelUser}
	for _, rule := range w.o.promotion(promotion) {
		rules = append(rules, rule)
	}
	_, err := w.local.do(rules...)
	if err == nil {
		_, err = w.local.do("CONFIG", "SET", "replica-priority", strconv.Itoa(priority))
	}
	return err
}

// identity is the set's: a replica has its master's; a master that knows none takes the one that the others have.
func (w *watcher) identity(now State, own string) string {
	if now.Role == replica {
		evidence, err := w.gatherer.one(now.Master)
		if err == nil && evidence.Set != "" {
			return evidence.Set
		}
		return own
	}
	if own != "" {
		return own
	}
	others := w.gatherer.all()
	for _, name := range w.o.members {
		if others[name].Set != "" {
			return others[name].Set
		}
	}
	return own
}

// A viewer asks the sentinels once a second, beside everything else: one that does not answer holds nothing up.
type viewer struct {
	sentinels *sentinels
	lock      sync.Mutex
	last      []View
}

func (v *viewer) run(stop <-chan struct{}) {
	for {
		views := v.sentinels.views()
		v.lock.Lock()
		v.last = views
		v.lock.Unlock()
		select {
		case <-stop:
			return
		case <-time.After(time.Second):
		}
	}
}

// newest is the view of the highest epoch that knows a master; an empty one when there is none.
func (v *viewer) newest() View {
	v.lock.Lock()
	defer v.lock.Unlock()
	known := slices.DeleteFunc(slices.Clone(v.last), func(view View) bool { return view.Master == "" })
	if len(known) == 0 {
		return View{}
	}
	return slices.MaxFunc(known, func(a, b View) int { return cmp.Compare(a.Epoch, b.Epoch) })
}

// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const (
	a, b, c  = "redis-0", "redis-1", "redis-2"
	patience = 20 * time.Second
	long     = time.Hour
)

// told makes the evidence of a member that waits, with data of an epoch and an offset.
func told(name string, epoch, offset int64, last string) Evidence {
	return Evidence{Name: name, Phase: waiting, Data: true, Record: Record{Set: "s", Epoch: epoch, Offset: offset, Master: last}}
}

func empty(name string) Evidence { return Evidence{Name: name, Phase: waiting} }

func with(e Evidence, change func(*Evidence)) Evidence {
	change(&e)
	return e
}

func serves(e Evidence, role string, promotable bool) Evidence {
	return with(e, func(e *Evidence) { e.Phase, e.Role, e.Promotable = running, role, promotable })
}

// chooses gives a vote; the candidacy of the first member has the number 1.
func chooses(e Evidence, choice string) Evidence {
	return with(e, func(e *Evidence) { e.Choice, e.Stand = choice, 1 })
}

// seen is a situation of the first member in a set of three with three sentinels.
func seen(evidence ...Evidence) Situation {
	s := Situation{Me: a, Members: []string{a, b, c}, Sentinels: 3, Seen: map[string]Evidence{}, Patience: patience, Now: 1}
	for _, one := range evidence {
		s.Seen[one.Name] = one
	}
	return s
}

func (s Situation) views(views ...View) Situation { s.Views = views; return s }

func (s Situation) waited(d time.Duration) Situation { s.Waited = d; return s }

func (s Situation) unseen(d time.Duration) Situation { s.Unseen = d; return s }

func TestDecisions(t *testing.T) {
	says := func(name string, epoch int64) View { return View{Master: name, Epoch: epoch} }
	down := func(v View) View { v.Down = true; return v }
	for name, one := range map[string]struct {
		situation Situation
		expected  string // what to do, of whom; or whom a waiting member chooses
		why       string
	}{
		// A majority of the sentinels.
		"another is master":                      {seen(told(a, 3, 9, a)).views(says(b, 4), says(b, 4)), "replica redis-1", "epoch 4"},
		"it is master and has its data":          {seen(told(a, 3, 9, a)).views(says(a, 3), says(a, 3)), "master", "its data are there"},
		"the newest view counts":                 {seen(told(a, 3, 9, a)).views(says(a, 3), says(a, 3), says(c, 4)), "replica redis-2", ""},
		"two views of one epoch":                 {seen(told(a, 3, 9, a)).views(says(a, 3), says(b, 3)), "wait", "disagree"},
		"a promoted member is back":              {seen(told(a, 3, 9, b)).views(says(a, 4), says(b, 3)), "master", ""},
		"down, and a replica may be chosen":      {seen(told(a, 3, 9, a), serves(told(b, 3, 9, a), replica, true)).views(down(says(a, 3)), says(a, 3)), "wait", "may choose redis-1"},
		"down for long, nothing happens":         {seen(told(a, 3, 9, a), serves(told(b, 3, 9, a), replica, true)).views(down(says(a, 3)), says(a, 3)).waited(6 * time.Second), "master", ""},
		"a failover that does not end":           {seen(told(a, 3, 9, a), serves(told(b, 3, 9, a), replica, true)).views(View{a, 3, true, true}, says(a, 3)).waited(6 * time.Second), "wait", ""},
		"down, but nobody may be chosen":         {seen(told(a, 3, 9, a), serves(told(b, 3, 9, a), replica, false)).views(down(says(a, 3)), says(a, 3)), "master", ""},
		"the old master is down":                 {seen(told(a, 4, 9, a), serves(told(b, 4, 9, a), replica, true)).views(says(a, 4), down(says(c, 3))), "master", ""},
		"master without data, another has them":  {seen(empty(a), told(b, 3, 9, a)).views(says(a, 3), says(a, 3)).waited(long), "wait", "redis-1 has"},
		"master without data, who else has any":  {seen(empty(a), empty(b)).views(says(a, 3), says(a, 3)).waited(long), "wait", "redis-2 may have them"},
		"nobody has any data":                    {seen(empty(a), empty(b), empty(c)).views(says(a, 3), says(a, 3)), "master", "no member has any data"},
		"master with a file that is not settled": {seen(with(told(a, 3, 9, a), func(e *Evidence) { e.Unsettled = true }), told(b, 3, 5, a)).views(says(a, 3), says(a, 3)), "wait", ""},
		"data of another set": {seen(with(told(a, 3, 9, a), func(e *Evidence) { e.Set = "other" }), serves(told(b, 9, 9, b), master, true)).views(says(b, 9), says(b, 9)),
			"wait", "delete this member's volume"},
		"sentinels that know nobody": {seen(told(a, 3, 9, a)).views(View{}, View{}, View{}), "wait", "only 1 of 3"},

		// The members alone.
		"alone":                                {seen(told(a, 3, 9, a)).waited(long), "wait", "missing: redis-1, redis-2"},
		"alone with a sentinel":                {seen(told(a, 3, 9, a)).views(says(a, 3)).waited(long), "wait", ""},
		"the sentinels come first":             {seen(told(a, 3, 9, a), told(b, 3, 9, a), told(c, 3, 9, a)), "wait", "yet"},
		"the last master is there":             {seen(told(a, 3, 5, a), chooses(told(b, 3, 9, a), a)).waited(patience / 2), "master", "last master"},
		"without the votes":                    {seen(told(a, 3, 5, a), told(b, 3, 9, a)).waited(long), "chooses redis-0", "1 of 3"},
		"the last master is another":           {seen(told(a, 3, 5, b), told(b, 3, 9, b)).waited(long), "chooses redis-1", ""},
		"a sentinel knows a newer one":         {seen(told(a, 3, 5, a), told(b, 3, 9, a)).views(says(b, 4)).waited(long), "chooses redis-1", "epoch 4"},
		"the last master is missing":           {seen(told(a, 3, 5, c), told(b, 3, 9, c)).waited(patience / 2), "wait", "may have newer data; missing: redis-2"},
		"it stays missing: the newest offset":  {seen(told(a, 3, 5, c), told(b, 3, 9, c)).waited(long), "chooses redis-1", "offset 9"},
		"an old epoch counts less than offset": {seen(told(a, 3, 5, c), told(b, 2, 9, c)).waited(long), "chooses redis-0", ""},
		"what the file has grown counts":       {seen(with(told(a, 3, 5, c), func(e *Evidence) { e.Grown = 100 }), chooses(told(b, 3, 9, c), a)).waited(long), "master", "offset 105"},
		"the last master lost its data":        {seen(told(a, 3, 5, c), told(b, 3, 4, c), empty(c)).waited(patience / 2), "chooses redis-0", ""},
		"a master is running":                  {seen(told(a, 3, 5, a), serves(told(b, 3, 9, b), master, true)).waited(0), "replica redis-1", "runs as master"},
		"two are running":                      {seen(told(a, 3, 5, a), serves(told(b, 3, 9, b), master, true), serves(told(c, 4, 9, c), master, true)), "replica redis-2", ""},
		"a vote is not given twice":            {seen(chooses(told(a, 3, 5, a), b), chooses(told(b, 3, 9, a), b)).waited(long), "chooses redis-1", "has this member's vote"},
		"the candidate has given up":           {seen(chooses(told(a, 3, 5, a), b), with(chooses(told(b, 3, 9, a), a), func(e *Evidence) { e.Stand = 0 })).waited(long), "chooses redis-0", ""},
		"the candidate is out of sight":        {seen(chooses(told(a, 3, 5, a), b), told(c, 3, 9, a)).waited(long), "chooses redis-1", ""},
		"out of sight for long":                {seen(chooses(told(a, 3, 5, a), b), told(c, 3, 9, a)).waited(long).unseen(patience), "chooses redis-0", ""},
		"a vote for an earlier candidacy":      {seen(chooses(told(a, 3, 5, a), a), with(chooses(told(b, 3, 9, a), a), func(e *Evidence) { e.Stand = 7 })).waited(long), "chooses redis-0", "1 of 3"},
		"a new set":                            {seen(empty(a), chooses(empty(b), a), empty(c)), "master", "the first"},
		"a new set, one is late":               {seen(empty(a), chooses(empty(b), a)), "wait", "missing: redis-2"},
		"a new set, one never comes":           {seen(empty(a), chooses(empty(b), a)).waited(long), "master", ""},
		"no new set: there was a master": {seen(with(empty(a), func(e *Evidence) { e.HeardMaster, e.HeardEpoch = c, 3 }), chooses(empty(b), a)).waited(long),
			"wait", "no member that answers has data"},
		"data without evidence":            {seen(empty(a), with(empty(b), func(e *Evidence) { e.Data = true }), empty(c)), "chooses redis-1", ""},
		"all were lost":                    {seen(chooses(empty(a), a), chooses(empty(b), a), empty(c)).views(says(b, 3)).waited(long), "master", "the first"},
		"a file that is not settled loses": {seen(with(told(a, 3, 9, c), func(e *Evidence) { e.Unsettled = true }), told(b, 3, 4, c)).waited(long), "chooses redis-1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := decide(one.situation)
			found := strings.TrimSpace(d.Do + " " + d.Of)
			if d.Do == wait && d.Choice != "" {
				found = "chooses " + d.Choice
			}
			if found != one.expected || !strings.Contains(d.Why, one.why) {
				t.Errorf("%q because of %q expected, seen %q: %s", one.expected, one.why, found, d.Why)
			}
		})
	}
}

func TestASingleServerNeedsNobody(t *testing.T) {
	s := Situation{Me: a, Members: []string{a}, Seen: map[string]Evidence{a: empty(a)}, Patience: patience}
	if d := decide(s); d.Do != master {
		t.Errorf("master expected, seen %+v", d)
	}
	s.Seen[a] = told(a, 0, 9, a)
	if d := decide(s); d.Do != master {
		t.Errorf("master expected, seen %+v", d)
	}
}

func TestWhoMayBePromotedWithoutTheMaster(t *testing.T) {
	me := serves(told(a, 3, 9, c), replica, false)
	for name, one := range map[string]struct {
		situation Situation
		gone      time.Duration
		expected  bool
	}{
		"the master is gone":         {seen(me, told(b, 3, 5, c)), patience, true},
		"not for long enough":        {seen(me, told(b, 3, 5, c)), patience / 2, false},
		"it lost its data":           {seen(me, told(b, 3, 5, c), empty(c)), 0, true},
		"it is back with its data":   {seen(me, told(b, 3, 5, c), told(c, 3, 5, c)), long, false},
		"another one is better":      {seen(me, told(b, 3, 10, c)), long, false},
		"another one may already be": {seen(me, serves(told(b, 3, 5, c), replica, true)), long, false},
		"no majority is there":       {seen(me), long, false},
	} {
		t.Run(name, func(t *testing.T) {
			if found := mayBePromoted(one.situation, c, one.gone); found != one.expected {
				t.Errorf("%v expected", one.expected)
			}
		})
	}
}

// A world of members and sentinels in any state. Whatever it is, some things must never be decided.
func anyWorld(chance *rand.Rand) Situation {
	names := []string{a, b, c, "redis-3", "redis-4"}[:3+2*chance.IntN(2)]
	s := Situation{Me: names[0], Members: names, Sentinels: 3, Seen: map[string]Evidence{}, Patience: patience}
	anyone := func() string { return append(names, "")[chance.IntN(len(names)+1)] }
	for _, name := range names {
		if name != s.Me && chance.IntN(3) == 0 {
			continue
		}
		e := Evidence{Name: name, Phase: waiting, Data: chance.IntN(3) > 0, Vote: Vote{anyone(), chance.Int64N(2)}}
		if e.Data {
			e.Record = Record{Set: "s", Epoch: chance.Int64N(4), Offset: chance.Int64N(4), Master: anyone(), Unsettled: chance.IntN(6) == 0}
		}
		if name != s.Me && e.Data && chance.IntN(3) == 0 {
			e.Phase, e.Role, e.Promotable = running, []string{master, replica}[chance.IntN(2)], chance.IntN(2) == 0
		}
		s.Seen[name] = e
	}
	for range chance.IntN(4) {
		s.Views = append(s.Views, View{anyone(), chance.Int64N(4), chance.IntN(3) == 0, chance.IntN(6) == 0})
	}
	s.Waited = time.Duration(chance.IntN(30)) * time.Second
	s.Unseen, s.Now = time.Duration(chance.IntN(30))*time.Second, 1
	return s
}

func TestWhatIsNeverDecided(t *testing.T) {
	chance := rand.New(rand.NewPCG(6, 2026))
	decided := map[string]int{}
	for range 200_000 {
		s := anyWorld(chance)
		d := decide(s)
		decided[d.Do]++
		known := 0
		newest := View{}
		for _, view := range s.Views {
			if view.Master != "" {
				known++
				if newest.Master == "" || view.Epoch > newest.Epoch {
					newest = view
				}
			}
		}
		fault := ""
		switch {
		case d.Why == "":
			fault = "a decision without a reason"
		case d.Do == replica && (d.Of == s.Me || d.Of == ""):
			fault = "a replica of nobody else"
		case d.Do != wait && known < majority(s.Sentinels) && len(s.Seen) < majority(len(s.Members)):
			fault = "a start without any majority"
		case d.Do == master && known >= majority(s.Sentinels) && newest.Master != s.Me:
			fault = "a master against the sentinels"
		case d.Do == replica && known >= majority(s.Sentinels) && newest.Epoch > 0 && d.Of != newest.Master && !sameEpoch(s.Views, newest):
			fault = "a replica of another one than the sentinels say"
		}
		if d.Do == master {
			for name, other := range s.Seen {
				if name != s.Me && other.worth() && !s.Seen[s.Me].worth() {
					fault = "a master without data, while " + name + " has data"
				}
			}
		}
		if fault != "" {
			t.Fatalf("%s: %+v in %+v", fault, d, s)
		}
	}
	for _, kind := range []string{wait, master, replica} {
		if decided[kind] < 1000 {
			t.Errorf("only %d times %s: the worlds are too poor", decided[kind], kind)
		}
	}
}

func sameEpoch(views []View, newest View) bool {
	for _, view := range views {
		if view.Master != "" && view.Epoch == newest.Epoch && view.Master != newest.Master {
			return true
		}
	}
	return false
}

// Members that wait see each other in turn, not all of them at any time, and each decides by what it sees. Within the patience two must
// never start as masters.
func TestNeverTwoMastersFromTheSameRestart(t *testing.T) {
	chance := rand.New(rand.NewPCG(7, 2026))
	started := 0
	for round := range 5_000 {
		names := []string{a, b, c, "redis-3", "redis-4"}[:3+2*chance.IntN(2)]
		state := map[string]Evidence{}
		for _, name := range names {
			state[name] = told(name, chance.Int64N(2), chance.Int64N(3), names[chance.IntN(len(names))])
		}
		// Each sees another one with a chance that differs from round to round: partitions, pods that come late.
		clear := chance.IntN(4)
		before := time.Duration(chance.IntN(2)) * patience
		masters := []string{}
		for step := range 40 {
			for _, i := range chance.Perm(len(names)) {
				me := names[i]
				if state[me].Phase == running {
					continue
				}
				s := Situation{Me: me, Members: names, Sentinels: 3, Seen: map[string]Evidence{me: state[me]}, Patience: patience,
					Waited: before + time.Duration(step)*time.Second/4, Now: int64(step + 1)}
				for _, other := range names {
					if chance.IntN(4) >= clear {
						s.Seen[other] = state[other]
					}
				}
				d := decide(s)
				state[me] = with(state[me], func(e *Evidence) { e.Choice, e.Stand = d.Choice, d.Stand })
				switch d.Do {
				case master:
					state[me] = serves(state[me], master, true)
					masters = append(masters, me)
				case replica:
					state[me] = serves(state[me], replica, false)
				}
			}
		}
		if len(masters) > 0 {
			started++
		}
		if len(masters) > 1 {
			t.Fatalf("round %d: %v start as masters: %+v", round, masters, state)
		}
	}
	if started < 2000 {
		t.Errorf("only %d rounds came to a master", started)
	}
}

func TestAnyOrderOfSentinelsGivesTheSame(t *testing.T) {
	chance := rand.New(rand.NewPCG(8, 2026))
	for range 20_000 {
		s := anyWorld(chance)
		first := decide(s)
		chance.Shuffle(len(s.Views), func(i, j int) { s.Views[i], s.Views[j] = s.Views[j], s.Views[i] })
		if second := decide(s); second.Do != first.Do || second.Of != first.Of {
			t.Fatalf("%+v and %+v in %s", first, second, fmt.Sprint(s))
		}
	}
}

// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// What a member does next.
const (
	wait    = "wait"
	master  = "master"
	replica = "replica"
)

// A View is what one sentinel says.
type View struct {
	Master  string // the member's name; empty: it knows none, or one who is no member
	Epoch   int64  // the configuration's epoch: of two views the higher one is newer
	Down    bool   // a quorum holds the master for down, or this sentinel soon will, even if the master comes back now
	Failing bool   // this sentinel leads a failover
}

// A Situation is all that a decision depends on. Members are called by their names, in the order of their ordinals.
type Situation struct {
	Me        string
	Members   []string
	Sentinels int                 // as configured
	Views     []View              // of the sentinels that answer
	Seen      map[string]Evidence // of the members that answer, and of this one
	Waited    time.Duration       // since this member began to decide
	Patience  time.Duration       // how long a missing member is waited for that may hold newer data
	Unseen    time.Duration       // how long the member that this one has chosen does not answer
	Now       int64               // a number that was never used before, for a candidacy
}

// moment is how long something is waited for that usually comes at once: sentinels that know a master, before the members agree without them;
// sentinels that hold a master for down, until they begin a failover or see that it is back.
func (s Situation) moment() time.Duration { return s.Patience / 4 }

// A Decision says what to do and why. A member that waits may name its choice: who should become master.
type Decision struct {
	Do     string
	Of     string // replica: of which member
	Choice string
	Stand  int64 // the candidacy of the chosen one, 0 when it does not stand
	Why    string
	First  bool // master: of a set that has no identity yet
}

func majority(number int) int { return number/2 + 1 }

// A claim is the knowledge that in an epoch somebody was master. Epochs only grow: the highest claim names the last master.
type claim struct {
	epoch  int64
	master string
}

// decide says how this member starts.
//
// A majority of the configured sentinels that know a master decides (bySentinels). Without it the members themselves do (byEvidence): after
// all were restarted at once, and for a new set. Neither ever takes an empty volume for a master as long as another one holds data.
func decide(s Situation) Decision {
	known := slices.DeleteFunc(slices.Clone(s.Views), func(view View) bool { return view.Master == "" })
	if s.Sentinels > 0 && len(known) >= majority(s.Sentinels) {
		return bySentinels(s, known)
	}
	d := byEvidence(s, known)
	if candidate := promised(s); d.Do == wait && candidate != "" {
		d.Choice, d.Stand = candidate, s.Seen[s.Me].Stand
	}
	return d
}

func bySentinels(s Situation, views []View) Decision {
	newest := slices.MaxFunc(views, func(a, b View) int { return cmp.Compare(a.Epoch, b.Epoch) })
	down, failing := false, false
	for _, view := range views {
		if view.Epoch == newest.Epoch && view.Master != newest.Master {
			return Decision{Do: wait, Why: fmt.Sprintf("the sentinels disagree: %s and %s are master in epoch %d", newest.Master, view.Master, view.Epoch)}
		}
		// Of the old master nobody cares: only what is said of the newest one counts.
		if view.Master == newest.Master {
			down, failing = down || view.Down, failing || view.Failing
		}
	}
	if newest.Master != s.Me {
		return follow(s, newest.Master, fmt.Sprintf("the sentinels say that %s is master (epoch %d)", newest.Master, newest.Epoch))
	}
	if !s.Seen[s.Me].worth() {
		return masterWithoutData(s)
	}
	// A master that serves again while a failover is under way takes writes, and replicas confirm them, that the heir has not.
	if heir := promotable(s); heir != "" && ((down && s.Waited < s.moment()) || (failing && s.Waited < s.Patience)) {
		return Decision{Do: wait, Why: fmt.Sprintf("the sentinels hold this master for down, or soon will, and may choose %s: a moment for that", heir)}
	}
	return Decision{Do: master, Why: fmt.Sprintf("the sentinels say that this member is master (epoch %d), and its data are there", newest.Epoch)}
}

// masterWithoutData: the volume was lost. As an empty master it would make all others empty, too.
func masterWithoutData(s Situation) Decision {
	for _, name := range s.Members {
		if name != s.Me && s.Seen[name].worth() {
			return Decision{Do: wait, Why: fmt.Sprintf("the sentinels say that this member is master, but it has no data and %s has: they have to choose it", name)}
		}
	}
	if missing := s.missing(); len(missing) > 0 {
		return Decision{Do: wait, Why: fmt.Sprintf("this member is to be master, but has no data; %s may have them and does not answer", strings.Join(missing, ", "))}
	}
	return Decision{Do: master, Why: "the sentinels say that this member is master, and no member has any data", First: true}
}

// follow makes this member a replica, unless its data belong to another set: a replica's own data go when it synchronises.
func follow(s Situation, name, why string) Decision {
	me, other := s.Seen[s.Me], s.Seen[name]
	if me.Data && me.Set != "" && other.Set != "" && me.Set != other.Set {
		return Decision{Do: wait, Why: fmt.Sprintf(
			"the data here belong to the set %s, those of the master %s to the set %s: to let them go, delete this member's volume", me.Set, name, other.Set)}
	}
	return Decision{Do: replica, Of: name, Why: why}
}

func byEvidence(s Situation, views []View) Decision {
	if len(s.Seen) < majority(len(s.Members)) {
		return Decision{Do: wait, Why: fmt.Sprintf("no majority of the sentinels knows a master, and only %d of %d members answer; missing: %s",
			len(s.Seen), len(s.Members), strings.Join(s.missing(), ", "))}
	}
	if running := runningMaster(s); running != "" && running != s.Me {
		return follow(s, running, running+" runs as master, as a majority of the members has seen")
	}
	last := lastMaster(s, views)
	if last.master != "" && s.Sentinels > 0 && s.Waited < s.moment() {
		return Decision{Do: wait, Why: fmt.Sprintf("no majority of the sentinels knows a master yet; %s was it in epoch %d", last.master, last.epoch)}
	}
	if candidate := promised(s); candidate != "" {
		return Decision{Do: wait, Choice: candidate, Stand: s.Seen[s.Me].Stand, Why: candidate + " has this member's vote to become master"}
	}
	choice, why := choose(s, last)
	if choice == "" {
		return Decision{Do: wait, Why: why}
	}
	if choice != s.Me {
		return Decision{Do: wait, Choice: choice, Stand: s.standOf(choice), Why: fmt.Sprintf("%s is to become master: %s", choice, why)}
	}
	stand := cmp.Or(s.standOf(s.Me), s.Now)
	votes := 1
	for name, seen := range s.Seen {
		if name != s.Me && seen.Choice == s.Me && seen.Stand == stand {
			votes++
		}
	}
	if votes < majority(len(s.Members)) {
		return Decision{Do: wait, Choice: choice, Stand: stand,
			Why: fmt.Sprintf("this member is to become master (%s); %d of %d members say so", why, votes, len(s.Members))}
	}
	return Decision{Do: master, Choice: choice, Stand: stand, Why: why, First: last.master == ""}
}

// standOf is the candidacy of a member that has chosen itself.
func (s Situation) standOf(name string) int64 {
	if seen := s.Seen[name]; seen.Choice == name {
		return seen.Stand
	}
	return 0
}

// promised is the candidate that this member has given its vote to, as long as that one may count it: it stands with the same candidacy, or
// has not been heard of for less than the patience. So a majority never serves two candidates. A candidacy has a number, so that no vote of
// an earlier one counts.
func promised(s Situation) string {
	me := s.Seen[s.Me]
	if me.Choice == "" || me.Choice == s.Me || me.Stand == 0 {
		return ""
	}
	if _, answers := s.Seen[me.Choice]; answers && s.standOf(me.Choice) != me.Stand || !answers && s.Unseen >= s.Patience {
		return ""
	}
	return me.Choice
}

// choose names who should become master when no sentinels say it; empty, with the reason, while that cannot be known.
func choose(s Situation, last claim) (string, string) {
	missing := s.missing()
	if s.Seen[last.master].worth() {
		return last.master, fmt.Sprintf("it was the last master (epoch %d) and has its data", last.epoch)
	}
	best := bestOf(s)
	if best == "" { // a new set, or one that has lost everything
		if len(missing) > 0 && (last.master != "" || s.Waited < s.Patience) {
			return "", fmt.Sprintf("no member that answers has data; missing: %s", strings.Join(missing, ", "))
		}
		for _, name := range s.Members {
			if _, seen := s.Seen[name]; seen {
				return name, "no member has data, and it is the first"
			}
		}
	}
	if len(missing) > 0 && s.Waited < s.Patience {
		return "", fmt.Sprintf("a member that does not answer may have newer data; missing: %s; %s has the best of the others",
			strings.Join(missing, ", "), best)
	}
	return best, fmt.Sprintf("it has the newest data (epoch %d, offset %d)", s.Seen[best].Epoch, s.Seen[best].Reached())
}

// lastMaster is the highest claim of all that sentinels and members know.
func lastMaster(s Situation, views []View) claim {
	claims := []claim{}
	for _, view := range views {
		claims = append(claims, claim{view.Epoch, view.Master})
	}
	for _, seen := range s.Seen {
		claims = append(claims, claim{seen.Epoch, seen.Master}, claim{seen.HeardEpoch, seen.HeardMaster})
	}
	last := claim{}
	for _, one := range claims {
		if one.master != "" && slices.Contains(s.Members, one.master) && (last.master == "" || one.epoch > last.epoch ||
			(one.epoch == last.epoch && one.master < last.master)) {
			last = one
		}
	}
	return last
}

// runningMaster is the member that serves as master; of several the one of the highest epoch.
func runningMaster(s Situation) string {
	found := ""
	for _, name := range s.Members {
		if seen := s.Seen[name]; seen.Phase == running && seen.Role == master && (found == "" || seen.Epoch > s.Seen[found].Epoch) {
			found = name
		}
	}
	return found
}

// promotable is a member that the sentinels may choose right now.
func promotable(s Situation) string {
	for _, name := range s.Members {
		if seen := s.Seen[name]; name != s.Me && seen.Phase == running && seen.Role == replica && seen.Promotable {
			return name
		}
	}
	return ""
}

// bestOf is the member with the newest data: those of the highest epoch, in it the highest offset; of equals the first.
func bestOf(s Situation) string {
	best := ""
	for _, name := range s.Members {
		seen := s.Seen[name]
		if seen.worth() && (best == "" || cmp.Or(cmp.Compare(seen.Epoch, s.Seen[best].Epoch), cmp.Compare(seen.Reached(), s.Seen[best].Reached())) > 0) {
			best = name
		}
	}
	return best
}

// mayBePromoted says whether the sentinels may choose this running replica although it has not synchronised since its start: only when the
// master cannot come back with its data, a majority of the members answers, none of them can be chosen already and this one is the best.
// gone: how long the master has not answered.
func mayBePromoted(s Situation, masterName string, gone time.Duration) bool {
	seen, answers := s.Seen[masterName]
	if answers && seen.worth() || !answers && gone < s.Patience {
		return false
	}
	return len(s.Seen) >= majority(len(s.Members)) && promotable(s) == "" && bestOf(s) == s.Me
}

// missing are the members that do not answer.
func (s Situation) missing() []string {
	return slices.DeleteFunc(slices.Clone(s.Members), func(name string) bool { _, seen := s.Seen[name]; return seen })
}

// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const stateFile = "sentinel.conf"

// A Memory is what a sentinel must not forget: whom it holds for master, and in which epochs it has voted.
type Memory struct {
	Master       string // the member's name
	Config       int64  // epoch of the configuration with this master
	Current, Led int64  // newest epoch that it knows, and in which it has last voted
}

// memoryOf reads a sentinel's own configuration file, which it writes before it answers a request for its vote.
func (o *options) memoryOf(content string) Memory {
	memory := Memory{}
	for line := range strings.Lines(content) {
		words := strings.Fields(line)
		switch {
		case len(words) >= 5 && words[0] == "sentinel" && words[1] == "monitor" && words[2] == o.masterName:
			memory.Master = o.nameOf(words[3])
		case len(words) >= 4 && words[0] == "sentinel" && words[1] == "config-epoch" && words[2] == o.masterName:
			memory.Config = number(words[3])
		case len(words) >= 4 && words[0] == "sentinel" && words[1] == "leader-epoch" && words[2] == o.masterName:
			memory.Led = number(words[3])
		case len(words) >= 3 && words[0] == "sentinel" && words[1] == "current-epoch":
			memory.Current = number(words[2])
		}
	}
	return memory
}

// remember says with which knowledge a sentinel starts; false, with the reason, while it must not.
//
// Its own memory is enough: what is newer it learns from the others. One that lost its volume takes the view of a majority, or what a majority
// of the servers shows. It never starts from a minority: together with others of the same kind it could outvote those who know better.
func remember(own Memory, s Situation) (Memory, string, bool) {
	known := slices.DeleteFunc(slices.Clone(s.Views), func(view View) bool { return view.Master == "" })
	newest := View{Master: own.Master, Epoch: own.Config}
	for _, view := range known {
		if newest.Master == "" || view.Epoch > newest.Epoch {
			newest = view
		}
	}
	memory := own
	memory.Master, memory.Config = newest.Master, newest.Epoch
	memory.Current = max(own.Current, newest.Epoch)
	if own.Master != "" {
		return memory, "what it knew, or what others know better", true
	}
	if len(known) >= majority(s.Sentinels) {
		// It does not know how it has voted: not again in the epochs that are known.
		memory.Led = memory.Current
		return memory, "rebuilt from the other sentinels", true
	}
	if len(s.Seen) < majority(len(s.Members)) {
		return memory, fmt.Sprintf("its state is lost; %d of %d other sentinels know a master, and %d of %d servers answer",
			len(known), s.Sentinels-1, len(s.Seen), len(s.Members)), false
	}
	running, last := runningMaster(s), lastMaster(s, known)
	if running == "" || last.master != "" && last.master != running && last.epoch > s.Seen[running].Epoch {
		return memory, "its state is lost; the servers have not yet decided which of them is master", false
	}
	memory.Master, memory.Config = running, last.epoch
	memory.Current, memory.Led = max(memory.Current, last.epoch), last.epoch
	return memory, "rebuilt from the servers", true
}

// idOf is a sentinel's id, the same for ever: one that loses its volume is no stranger to the others.
func (o *options) idOf(name string) string {
	return fmt.Sprintf("%x", sha1.Sum([]byte(o.namespace+"/"+name)))
}

// madeFor is the line of sentinel.conf that tells for which members it was made. The sentinel keeps comments when it writes the file.
func (o *options) madeFor() string {
	return "# made by redis-member for " + strings.Join(slices.Concat(o.members, o.sentinels), " ")
}

// knownOf tells whom a sentinel is to know from its start: all servers and sentinels, so that nobody counts a majority of too few. One that has
// run for the same members before, by its own file, knows whom it knew then: it may have been told to forget some that have gone (SENTINEL
// RESET), of which a pod that is older than that has not heard.
func (o *options) knownOf(content string) (members, sentinels []string) {
	if o.memoryOf(content).Master == "" || !strings.Contains(content, o.madeFor()+"\n") {
		return o.members, o.sentinels
	}
	named := map[string]string{}
	for line := range strings.Lines(content) {
		if words := strings.Fields(line); len(words) >= 4 && words[0] == "sentinel" && words[2] == o.masterName {
			named[words[3]] = words[1]
		}
	}
	ofKind := func(names []string, kinds ...string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(kinds, named[o.addresses[name]]) })
	}
	return ofKind(o.members, "monitor", "known-replica"), ofKind(o.sentinels, "known-sentinel")
}

// sentinelConfig renders sentinel.conf. members, sentinels: whom it knows from the start.
func (o *options) sentinelConfig(m Memory, members, sentinels []string) string {
	name, milliseconds := o.masterName, func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	lines := append([]string{o.madeFor()}, o.commonConfig(o.sentinelPort)...)
	lines = append(lines,
		"sentinel myid "+o.idOf(o.name),
		"sentinel announce-ip "+o.addresses[o.name],
		"sentinel announce-port "+strconv.Itoa(o.sentinelPort),
		"sentinel resolve-hostnames no",
		"sentinel deny-scripts-reconfig yes",
		"sentinel sentinel-user "+sentinelUser,
		"sentinel sentinel-pass "+quote(o.passwords[sentinelUser][0]),
		fmt.Sprintf("sentinel monitor %s %s %d %d", name, o.addresses[m.Master], o.port, o.quorum),
		"sentinel auth-user "+name+" "+sentinelUser,
		"sentinel auth-pass "+name+" "+quote(o.passwords[sentinelUser][0]),
		"sentinel down-after-milliseconds "+name+" "+milliseconds(o.downAfter),
		"sentinel failover-timeout "+name+" "+milliseconds(o.failoverTimeout),
		"sentinel parallel-syncs "+name+" "+strconv.Itoa(o.parallelSyncs),
		fmt.Sprintf("sentinel config-epoch %s %d", name, m.Config),
		fmt.Sprintf("sentinel leader-epoch %s %d", name, m.Led),
		fmt.Sprintf("sentinel current-epoch %d", m.Current),
	)
	for _, member := range members {
		if member != m.Master {
			lines = append(lines, fmt.Sprintf("sentinel known-replica %s %s %d", name, o.addresses[member], o.port))
		}
	}
	for _, other := range sentinels {
		if other != o.name {
			lines = append(lines, fmt.Sprintf("sentinel known-sentinel %s %s %d %s", name, o.addresses[other], o.sentinelPort, o.idOf(other)))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// A watchman is one sentinel. Its configuration lies on the volume, since it writes its votes there.
type watchman struct {
	o        *options
	told     *board
	gatherer *gatherer
	others   *sentinels
	local    connection
	*supervisor
}

func runSentinel(o *options) error {
	supervisor := newSupervisor()
	if err := o.prepare(sentinelRights); err != nil {
		return err
	}
	if !supervisor.meanwhile(o.resolveAll) {
		return nil
	}
	members := map[string]string{}
	for _, name := range o.members {
		members[name] = o.at(name, 1)
	}
	others := slices.DeleteFunc(slices.Clone(o.sentinels), func(name string) bool { return name == o.name })
	w := &watchman{o, &board{}, newGatherer(members), newSentinels(o, others), o.connect(o.local(0), 2*time.Second), supervisor}
	w.told.evidence = Evidence{Name: o.name, Phase: waiting, Decision: "asking the others"}
	ready := func() error {
		if evidence := w.told.read(); evidence.Phase == waiting {
			return &unready{evidence.Phase + ": " + evidence.Decision}
		}
		_, err := w.local.masterView(o.masterName)
		return err
	}
	if err := serve(o.own(1), w.told, live(w.told, w.local), ready); err != nil {
		return err
	}
	for {
		memory, ordered := w.remember()
		if ordered {
			return nil
		}
		if err := w.begin(memory); err != nil {
			return err
		}
		how, ordered := w.watch()
		if ordered {
			w.end()
			return nil
		}
		say("the sentinel ended (%s): starting it again", how)
		if err := w.again(how); err != nil {
			return err
		}
	}
}

// remember asks everybody until this sentinel knows enough to start; true when this pod is to end before.
func (w *watchman) remember() (Memory, bool) {
	said, last := time.Time{}, ""
	for {
		content, _ := os.ReadFile(filepath.Join(w.o.data, stateFile))
		situation := Situation{Members: w.o.members, Sentinels: len(w.o.sentinels), Views: w.others.views(), Seen: w.gatherer.all()}
		memory, why, enough := remember(w.o.memoryOf(string(content)), situation)
		w.told.update(func(e *Evidence) { e.Phase, e.Decision, e.Data = waiting, why, len(content) > 0 })
		if why != last || time.Since(said) >= sayEvery {
			last, said = why, time.Now()
			say("%s: %s", map[bool]string{true: "monitors " + memory.Master + " (epoch " + strconv.FormatInt(memory.Config, 10) + ")", false: wait}[enough], why)
		}
		if enough {
			return memory, false
		}
		select {
		case <-w.ordered:
			return memory, true
		case <-w.child:
			w.reap()
		case <-time.After(askEvery):
		}
	}
}

func (w *watchman) begin(memory Memory) error {
	if err := w.o.writeUsers(sentinelRights); err != nil {
		return err
	}
	path := filepath.Join(w.o.data, stateFile)
	content, _ := os.ReadFile(path)
	members, sentinels := w.o.knownOf(string(content))
	if err := writeFile(path, 0o600, strings.NewReader(w.o.sentinelConfig(memory, members, sentinels))); err != nil {
		return err
	}
	w.told.update(func(e *Evidence) { e.Phase = starting })
	return w.start(w.o.program, path, "--sentinel")
}

// watch follows the sentinel until it ends; true when it was this pod that is to end.
func (w *watchman) watch() (string, bool) {
	stop := make(chan struct{})
	defer close(stop)
	go w.follow(w.process, stop)
	for {
		select {
		case <-w.ordered:
			return "", true
		case <-w.child:
			if gone, how := w.reap(); gone {
				return how, false
			}
		}
	}
}

// follow tells what the sentinel says. Right after its start it is told to ask servers more often than every 10 s: a priority that a replica
// gets, or a link that is up again, counts as soon as the sentinels know it. One that spins is ended; its state is on the volume.
func (w *watchman) follow(process *os.Process, stop <-chan struct{}) {
	tuned, spin := false, spinning{}
	for {
		select {
		case <-stop:
			return
		case <-time.After(askEvery):
		}
		if !tuned {
			_, err := w.local.do("SENTINEL", "DEBUG", "info-period", strconv.FormatInt(w.o.infoPeriod.Milliseconds(), 10))
			tuned = err == nil
		}
		fields, err := w.local.masterView(w.o.masterName)
		if err != nil {
			continue
		}
		view := w.o.viewOf(fields)
		w.told.update(func(e *Evidence) { e.Phase, e.Master, e.Epoch = running, view.Master, view.Epoch })
		if how, spins := spin.found(process.Pid, w.local); spins {
			say("the sentinel has used %s", how)
			process.Signal(syscall.SIGTERM)
		}
	}
}

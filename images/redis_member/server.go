// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	fullPriority = 100             // replica-priority of a replica that the sentinels may choose; 0: never
	adoptEvery   = 5 * time.Second // how often the set's identity is compared with the master's
)

// A server is one member: it decides, starts redis-server, watches it, and begins again when it ends.
type server struct {
	o         *options
	told      *board
	gatherer  *gatherer
	sentinels *sentinels
	local     connection
	voted     Vote // as it is on the volume
	*supervisor
}

func runServer(o *options) error {
	supervisor := newSupervisor()
	if err := o.prepare(serverRights); err != nil {
		return err
	}
	if !supervisor.meanwhile(o.resolveAll) {
		return nil
	}
	if config, err := os.ReadFile(o.config); err != nil {
		return &refusal{"the deployment's configuration in " + o.config, err.Error(), "mount the ConfigMap there, or set -config", exitConfig}
	} else if !everySecond(string(config)) {
		o.syncEvery = 0
	}
	if o.syncEvery > 0 {
		go (&syncer{directory: o.data}).run(o.syncEvery)
	}
	others := map[string]string{}
	for _, name := range o.members {
		if name != o.name {
			others[name] = o.at(name, 1)
		}
	}
	vote := loadVote(o.data)
	s := &server{o, &board{}, newGatherer(others), newSentinels(o, o.sentinels), o.connect(o.local(0), 2*time.Second), vote, supervisor}
	s.told.evidence = Evidence{Name: o.name, Phase: waiting, Decision: "asking the others", Record: loadRecord(o.data), Vote: vote}
	if err := serve(o.own(1), s.told, live(s.told, s.local), func() error { return s.told.read().ready() }); err != nil {
		return err
	}
	for {
		decision, ordered := s.decide()
		if ordered {
			return nil
		}
		if err := s.begin(decision); err != nil {
			return err
		}
		how, ordered := s.watch()
		if ordered {
			s.told.update(func(e *Evidence) { e.Phase = stopping })
			s.handOver()
			s.end()
			return nil
		}
		say("the server ended (%s): deciding again how to start it", how)
		if err := s.again(how); err != nil {
			return err
		}
	}
}

// decide asks everybody until it is known how to start; true when this pod is to end before.
func (s *server) decide() (Decision, bool) {
	s.told.update(func(e *Evidence) {
		e.Phase, e.Decision = waiting, "asking the others"
		if e.Choice == s.o.name { // a candidacy ends with its process, a vote for another one does not
			e.Vote = Vote{}
		}
		e.Promotable, e.Link, e.Data = false, false, hasData(s.o.data)
		e.Grown = max(0, fileSize(s.o.data)-e.File)
	})
	began, said, last := time.Now(), time.Time{}, ""
	answered := began // when the chosen member last did
	for {
		situation := s.situation(time.Since(began))
		if _, answers := situation.Seen[s.told.read().Choice]; answers {
			answered = time.Now()
		}
		situation.Unseen = time.Since(answered)
		decision := decide(situation)
		s.told.update(func(e *Evidence) { e.Decision = decision.Why })
		s.vote(Vote{decision.Choice, decision.Stand})
		if kind := decision.Do + decision.Of + decision.Choice; kind != last || time.Since(said) >= sayEvery {
			last, said = kind, time.Now()
			say("%s: %s", strings.TrimSpace(decision.Do+" "+decision.Of), decision.Why)
		}
		if decision.Do != wait {
			return decision, false
		}
		select {
		case <-s.ordered:
			return decision, true
		case <-s.child:
			s.reap()
		case <-time.After(askEvery):
		}
	}
}

// vote tells the others whom this member has chosen, once it is on the volume.
func (s *server) vote(now Vote) {
	if now != s.voted {
		if err := now.save(s.o.data); err != nil {
			say("a vote that cannot be written is not given: %v", err)
			now = Vote{}
		} else {
			s.voted = now
		}
	}
	s.told.update(func(e *Evidence) { e.Vote = now })
}

func (s *server) situation(waited time.Duration) Situation {
	views := make(chan []View, 1)
	go func() { views <- s.sentinels.views() }()
	seen := s.gatherer.all()
	seen[s.o.name] = s.told.read()
	return Situation{
		Me: s.o.name, Members: s.o.members, Sentinels: len(s.o.sentinels), Views: <-views, Seen: seen,
		Waited: waited, Patience: s.o.patience, Now: time.Now().UnixNano(),
	}
}

// begin starts redis-server as decided. What its volume is worth if it dies at once is written down first.
func (s *server) begin(d Decision) error {
	var record Record
	s.told.update(func(e *Evidence) {
		e.Phase = starting
		if d.Do == replica && !e.Data {
			e.Unsettled = true // the server writes an empty file before it has synchronised
		}
		if d.First && e.Set == "" {
			identity := make([]byte, 8)
			rand.Read(identity)
			e.Set = hex.EncodeToString(identity)
		}
		record = e.Record
	})
	if err := record.save(s.o.data); err != nil {
		return err
	}
	rights := maps.Clone(serverRights)
	rights[sentinelUser] += " " + strings.Join(s.o.promotion(d.Do == master), " ")
	if err := s.o.writeUsers(rights); err != nil {
		return err
	}
	path := filepath.Join(s.o.run, "redis.conf")
	if err := writeFile(path, 0o600, strings.NewReader(s.o.serverConfig(d))); err != nil {
		return err
	}
	return s.start(s.o.program, path)
}

// watch follows the server until it ends; true when it was this pod that is to end.
func (s *server) watch() (string, bool) {
	stop := make(chan struct{})
	defer close(stop)
	go newWatcher(s).run(stop)
	for {
		select {
		case <-s.ordered:
			return "", true
		case <-s.child:
			if gone, how := s.reap(); gone {
				return how, false
			}
		}
	}
}

func (s *server) single() bool { return len(s.o.members) == 1 }

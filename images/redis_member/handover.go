// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"strings"
	"time"
)

const (
	catchUp   = time.Second // for the replicas to have all that the master has, once it takes no more
	pollEvery = 50 * time.Millisecond
)

// handOver lets a replica become master before this one ends: writes are paused, and when every replica has them all the sentinels are told
// to fail over. It takes no longer than -handover; whatever does not work out is left to the sentinels, after this master has gone.
func (s *server) handOver() {
	if s.single() || s.o.handover <= 0 || s.told.read().Role != master {
		return
	}
	deadline := time.Now().Add(s.o.handover)
	if err := s.level(); err != nil {
		say("no handover: %v", err)
		return
	}
	for begun := false; time.Now().Before(deadline); {
		if !begun {
			// The sentinels may not know yet that a replica may be chosen: they refuse then.
			err := s.sentinels.failover()
			begun = err == nil
			if err != nil {
				say("no handover yet: %v", err)
			}
		}
		view := viewer{last: s.sentinels.views()}
		if heir := view.newest().Master; heir != "" && heir != s.o.name {
			say("%s follows as master", heir)
			return
		}
		time.Sleep(2 * pollEvery)
	}
	say("no other master within %s", s.o.handover)
}

// level pauses writes and returns when every replica has all of them.
func (s *server) level() error {
	info, err := s.local.info("replication")
	if err != nil {
		return err
	}
	if len(onlineReplicas(info)) == 0 {
		return fmt.Errorf("no replica is there")
	}
	if _, err := s.local.do("CLIENT", "PAUSE", s.o.handover.Milliseconds(), "WRITE"); err != nil {
		return err
	}
	for until := time.Now().Add(catchUp); ; time.Sleep(pollEvery) {
		if info, err = s.local.info("replication"); err != nil {
			return err
		}
		behind := int64(0)
		for _, offset := range onlineReplicas(info) {
			behind = max(behind, number(info["master_repl_offset"])-offset)
		}
		if behind == 0 {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("a replica is %d bytes behind", behind)
		}
	}
}

// onlineReplicas gives the offsets of the replicas with a link, of the fields slaveN: ip=...,port=...,state=online,offset=...,lag=0
func onlineReplicas(info map[string]string) []int64 {
	offsets := []int64{}
	for i := range number(info["connected_slaves"]) {
		fields := parseInfo(strings.NewReplacer(",", "\n", "=", ":").Replace(info[fmt.Sprintf("slave%d", i)]))
		if fields["state"] == "online" {
			offsets = append(offsets, number(fields["offset"]))
		}
	}
	return offsets
}

// failover tells one sentinel after the other until one does it.
func (s *sentinels) failover() error {
	err := fmt.Errorf("no sentinel")
	for _, name := range s.o.sentinels {
		if _, err = s.connections[name].do("SENTINEL", "FAILOVER", s.o.masterName); err == nil {
			return nil
		}
	}
	return err
}

// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// A sentinel may begin to spin: a connection that was refused by ICMP while it was being opened, as by the Service of a pod that is
// being replaced, and that came about at the second attempt all the same, keeps the error in its queue (Linux since 5.8). A
// sentinel never reads that, so that epoll reports the connection again and again, for as long as it lasts. Seen on a cluster after restarts
// of pods: sentinels that took half a processor each. A new process has new connections.
const (
	spinEvery   = 5 * time.Second        // from one look to the next
	spinTimes   = 2                      // looks in a row before it counts
	spinShare   = 0.1                    // of a processor; a sentinel at work needs a hundredth
	spinCommand = 500 * time.Microsecond // for each command; a check with its connection and login costs a fifth
	tick        = 10 * time.Millisecond  // of /proc
)

// An Effort is what a process has done since its start.
type Effort struct {
	At       time.Time
	CPU      time.Duration
	Commands int64
}

// forNothing tells whether a process has worked more than anybody has asked it for.
func (e Effort) forNothing(before Effort) bool {
	took, cpu := e.At.Sub(before.At), e.CPU-before.CPU
	return took > 0 && cpu.Seconds() > spinShare*took.Seconds() && cpu > time.Duration(e.Commands-before.Commands)*spinCommand
}

// A spinning process is found by looking again and again.
type spinning struct {
	last  Effort
	times int
}

// found is called often and looks now and then; it tells, once, how a process spins.
func (s *spinning) found(pid int, local connection) (string, bool) {
	if time.Since(s.last.At) < spinEvery {
		return "", false
	}
	before := s.last
	now, err := effortOf(pid, local)
	s.last = now
	if err != nil || before.At.IsZero() || before.CPU == 0 || !now.forNothing(before) {
		s.times = 0
		return "", false
	}
	if s.times++; s.times < spinTimes {
		return "", false
	}
	s.times = 0
	return fmt.Sprintf("%.1f s of processor time in %.0f s for %d commands: it has a connection with an error that it does not read",
		(now.CPU - before.CPU).Seconds(), now.At.Sub(before.At).Seconds(), now.Commands-before.Commands), true
}

// effortOf asks the kernel and the process itself.
func effortOf(pid int, local connection) (Effort, error) {
	effort := Effort{At: time.Now()}
	info, err := local.info("stats")
	if err != nil {
		return effort, err
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return effort, err
	}
	effort.Commands = number(info["total_commands_processed"])
	effort.CPU, err = cpuOf(string(stat))
	return effort, err
}

// cpuOf reads the processor time from the text of /proc/PID/stat. The name in parentheses may hold anything.
func cpuOf(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("no processor time in %q", stat)
	}
	return time.Duration(number(fields[11])+number(fields[12])) * tick, nil
}

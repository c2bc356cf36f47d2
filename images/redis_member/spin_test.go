// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"os"
	"testing"
	"time"
)

func TestSpins(t *testing.T) {
	start := Effort{At: time.Unix(100, 0), CPU: 3 * time.Second, Commands: 1000}
	for what, one := range map[string]struct {
		cpu      time.Duration
		commands int64
		spins    bool
	}{
		"idle":                              {20 * time.Millisecond, 100, false},
		"many checks, all worth their time": {2 * time.Second, 20000, false},
		"half a processor for nothing":      {5 * time.Second, 600, true},
		"a share of a busy machine":         {1200 * time.Millisecond, 600, true},
		"a little too much":                 {900 * time.Millisecond, 10, false},
	} {
		now := Effort{start.At.Add(10 * time.Second), start.CPU + one.cpu, start.Commands + one.commands}
		if now.forNothing(start) != one.spins {
			t.Errorf("%s: for nothing is %v", what, !one.spins)
		}
	}
	if start.forNothing(start) {
		t.Error("no time has passed")
	}
}

func TestCpuOf(t *testing.T) {
	cpu, err := cpuOf("24 (redis (x) y) S 1 24 24 0 -1 4194560 3000 0 0 0 3792 13540 0 0 20 0 5 0 100 64880640 3200")
	if err != nil || cpu != 173320*time.Millisecond {
		t.Errorf("%v, %v", cpu, err)
	}
	if _, err := cpuOf("24 (redis) S 1"); err == nil {
		t.Error("too few fields are no time")
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Skip(err)
	}
	if _, err := cpuOf(string(stat)); err != nil {
		t.Error(err)
	}
}

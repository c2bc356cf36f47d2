// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// The server gets SIGKILL when the thread that started it ends: the main one, which lives as long as this program.
func init() { runtime.LockOSThread() }

// A supervisor is the first process of a container: it runs one server at a time, passes the order to end on and reaps whatever is left
// behind (of a server that was killed its child that writes a file).
type supervisor struct {
	ordered chan os.Signal // to end: SIGTERM, SIGINT
	child   chan os.Signal // SIGCHLD
	process *os.Process
	began   time.Time
	quick   int // ends in a row soon after a start
}

const (
	soon       = 10 * time.Second
	quickLimit = 5
)

func newSupervisor() *supervisor {
	s := &supervisor{ordered: make(chan os.Signal, 4), child: make(chan os.Signal, 1)}
	signal.Notify(s.ordered, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(s.child, syscall.SIGCHLD)
	return s
}

// start runs the server. Raises a refusal when the image has none.
func (s *supervisor) start(program string, arguments ...string) error {
	path, err := exec.LookPath(program)
	if err != nil {
		return &refusal{"the image has the server " + program, err.Error(), "set -program to its path in the image", exitConfig}
	}
	process, err := os.StartProcess(path, append([]string{path}, arguments...), &os.ProcAttr{
		Env:   os.Environ(),
		Files: []*os.File{nil, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	s.process, s.began = process, time.Now()
	return err
}

// reap collects the processes that ended; true, with the reason, when the server is among them.
func (s *supervisor) reap() (bool, string) {
	gone, how := false, ""
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if pid <= 0 {
			return gone, how
		}
		if s.process != nil && pid == s.process.Pid {
			gone, how = true, fmt.Sprintf("exit status %d", status.ExitStatus())
			if status.Signaled() {
				how = status.Signal().String()
			}
			s.process = nil
		}
	}
}

// again counts an end that nobody ordered and waits a moment when they follow each other. Restarting here is quicker than by the kubelet,
// which starts a container again only after a back-off of 10 s and more from the second time on. A refusal when it does not help.
func (s *supervisor) again(how string) error {
	s.quick++
	if time.Since(s.began) > soon {
		s.quick = 0
	}
	if s.quick >= quickLimit {
		seen := fmt.Sprintf("it ended %d times soon after its start, the last time with %s", s.quick, how)
		return &refusal{"the server runs", seen, "read what it says above", exitWaiting}
	}
	time.Sleep(time.Duration(s.quick*s.quick) * 100 * time.Millisecond)
	return nil
}

// end orders the server to end, and waits for it as long as the pod's grace period lets it. The order is given again every second: a replica
// that writes its first append-only file forgets it ("Writing initial AOF, can't exit": server.c, finishShutdown).
func (s *supervisor) end() {
	ordered := time.Time{}
	for s.process != nil {
		if time.Since(ordered) >= time.Second {
			ordered = time.Now()
			s.process.Signal(syscall.SIGTERM)
		}
		select {
		case <-s.child:
		case <-time.After(100 * time.Millisecond):
		}
		s.reap()
	}
}

// meanwhile does what may take long; false when this process was ordered to end before it was done.
func (s *supervisor) meanwhile(do func()) bool {
	done := make(chan struct{})
	go func() { do(); close(done) }()
	select {
	case <-done:
		return true
	case <-s.ordered:
		return false
	}
}

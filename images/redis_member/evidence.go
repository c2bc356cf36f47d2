// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Phases of a member's program.
const (
	waiting  = "waiting" // to know how to start
	starting = "starting"
	running  = "running"
	stopping = "stopping"
)

const (
	recordFile = "evidence.json"
	voteFile   = "vote.json"
)

// A Record is what a member keeps on its volume about the data beside it, so that after a restart it is known how new they are.
type Record struct {
	Set string `json:"set"` // identity of the set that the data belong to; empty: not known
	// In which epoch the data were last those of the master, who that was, and as what this member had them.
	Epoch  int64  `json:"epoch"`
	Master string `json:"master"`
	Role   string `json:"role"`
	// The newest master that it has heard of from the sentinels, whether it followed it or not.
	HeardEpoch  int64  `json:"heard_epoch"`
	HeardMaster string `json:"heard_master"`
	// How far the data were, and how large the append-only file was then (bytes): both grow by the same writes.
	ReplID string `json:"replid"`
	Offset int64  `json:"offset"`
	File   int64  `json:"file"`
	// What is on the volume is not (yet) the data that the server had: an empty one before its first synchronisation, or one whose
	// append-only file is being written anew after it.
	Unsettled bool  `json:"unsettled"`
	At        int64 `json:"at"` // milliseconds since 1970
}

// A Vote is whom a member that waits has chosen to become master, and the number of that one's candidacy. It is kept on the volume, too: a
// member that is started anew does not give it to somebody else while the first one may still count it.
type Vote struct {
	Choice string `json:"choice"`
	Stand  int64  `json:"stand"`
}

// Evidence is what a member tells the others.
type Evidence struct {
	Record
	Vote
	Name       string `json:"name"`
	Phase      string `json:"phase"`
	Decision   string `json:"decision"` // in words, for people
	Data       bool   `json:"data"`
	Grown      int64  `json:"grown"`      // bytes of the append-only file since the record
	Link       bool   `json:"link"`       // a replica has all that its master has
	Promotable bool   `json:"promotable"` // the sentinels may choose it
}

// worth tells whether the data here are worth becoming a master's.
func (e Evidence) worth() bool { return e.Data && !e.Unsettled }

// Reached estimates the replication offset of the data.
func (e Evidence) Reached() int64 { return e.Offset + e.Grown }

func loadRecord(directory string) Record     { return load[Record](directory, recordFile) }
func (r Record) save(directory string) error { return save(directory, recordFile, r) }
func loadVote(directory string) Vote         { return load[Vote](directory, voteFile) }
func (v Vote) save(directory string) error   { return save(directory, voteFile, v) }

// load reads what is kept on a volume; what is not there, or cannot be read, is empty.
func load[T any](directory, name string) T {
	var kept, empty T
	content, err := os.ReadFile(filepath.Join(directory, name))
	if err == nil {
		err = json.Unmarshal(content, &kept)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		say("%s is passed over: %v", name, err)
		return empty
	}
	return kept
}

func save(directory, name string, kept any) error {
	content, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(directory, name), 0o600, bytes.NewReader(content))
}

// newer tells whether a record has to be written: at once when it says something else, later when only the offset has moved.
func (r Record) newer(old Record) bool {
	moved := r.File != old.File && r.At-old.At >= time.Second.Milliseconds() || r.At-old.At >= (10*time.Second).Milliseconds()
	r.Offset, r.File, r.At = old.Offset, old.File, old.At
	return moved || r != old
}

// hasData tells whether a server has ever written to the volume.
func hasData(directory string) bool {
	for _, pattern := range []string{"appendonlydir/*.manifest", "appendonly.aof", "dump.rdb"} {
		if found, _ := filepath.Glob(filepath.Join(directory, pattern)); len(found) > 0 {
			return true
		}
	}
	return false
}

// fileSize is the size of the append-only file in bytes.
func fileSize(directory string) int64 {
	size := int64(0)
	for _, pattern := range []string{"appendonlydir/*.incr.aof", "appendonly.aof"} {
		found, _ := filepath.Glob(filepath.Join(directory, pattern))
		for _, path := range found {
			if file, err := os.Stat(path); err == nil {
				size += file.Size()
			}
		}
	}
	return size
}

// A board holds what a member tells now; its program writes, the evidence port reads.
type board struct {
	lock     sync.Mutex
	evidence Evidence
}

func (b *board) update(change func(*Evidence)) {
	b.lock.Lock()
	defer b.lock.Unlock()
	change(&b.evidence)
}

func (b *board) read() Evidence {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.evidence
}

// serve answers GET /evidence, /live and /ready. A probe gives the reason why not.
func serve(address string, told *board, live, ready func() error) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /evidence", func(response http.ResponseWriter, _ *http.Request) {
		response.Header().Set("Content-Type", "application/json")
		json.NewEncoder(response).Encode(told.read())
	})
	for path, check := range map[string]func() error{"GET /live": live, "GET /ready": ready} {
		mux.HandleFunc(path, func(response http.ResponseWriter, _ *http.Request) {
			if err := check(); err != nil {
				http.Error(response, err.Error(), http.StatusServiceUnavailable)
				return
			}
			io.WriteString(response, "yes\n")
		})
	}
	server := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	listener, err := listen(address)
	if err != nil {
		return &refusal{"the evidence port is free: " + address, err.Error(), "another -evidence-port", exitConfig}
	}
	go server.Serve(listener)
	return nil
}

// A gatherer asks the others for their evidence.
type gatherer struct {
	client    http.Client
	addresses map[string]string // of their evidence ports, by name
}

func newGatherer(addresses map[string]string) *gatherer {
	return &gatherer{http.Client{Timeout: askTimeout}, addresses}
}

// one asks one member.
func (g *gatherer) one(name string) (Evidence, error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+g.addresses[name]+"/evidence", nil)
	if err != nil {
		return Evidence{}, err
	}
	response, err := g.client.Do(request)
	if err != nil {
		return Evidence{}, err
	}
	defer response.Body.Close()
	evidence := Evidence{}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<16)).Decode(&evidence); err != nil {
		return Evidence{}, err
	}
	if evidence.Name != name {
		return Evidence{}, fmt.Errorf("%s answers at the address of %s", evidence.Name, name)
	}
	return evidence, nil
}

// all asks every member at the same time; who does not answer is left out.
func (g *gatherer) all() map[string]Evidence {
	seen := map[string]Evidence{}
	lock, group := sync.Mutex{}, sync.WaitGroup{}
	for name := range g.addresses {
		group.Go(func() {
			if evidence, err := g.one(name); err == nil {
				lock.Lock()
				defer lock.Unlock()
				seen[name] = evidence
			}
		})
	}
	group.Wait()
	return seen
}

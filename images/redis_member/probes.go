// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// probe asks the program of this pod at its evidence port. It fails with the reason that is given there.
func probe(command string, arguments []string) error {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	address := flags.String("address", "127.0.0.1", "the pod's address")
	port := flags.Int("port", 6380, "the evidence port: 6380 of a server, 26380 of a sentinel")
	timeout := flags.Duration("timeout", 4*time.Second, "how long to wait for the answer")
	if err := flags.Parse(arguments); err != nil || flags.NArg() > 0 {
		return &refusal{"options of " + command, strings.Join(arguments, " "), "-address, -port, -timeout", exitUsage}
	}
	client := http.Client{Timeout: *timeout}
	response, err := client.Get(fmt.Sprintf("http://%s/%s", net.JoinHostPort(*address, strconv.Itoa(*port)), command))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(said)))
	}
	return err
}

// live: the program answers, and so does the server while it is to run. A member that waits for the others is alive: a restart would not
// bring them.
func live(told *board, local connection) func() error {
	return func() error {
		if phase := told.read().Phase; phase == waiting || phase == stopping {
			return nil
		}
		return local.alive()
	}
}

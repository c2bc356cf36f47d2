// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"time"
)

// The server's hello, which needs no login: one message each way of the opcode OP_MSG.
const (
	opMsg       = 2013
	headerSize  = 16
	largestSize = 48_000_000 // maxMessageSizeBytes
)

var errMalformed = errors.New("what answers is no MongoDB server: a malformed reply")

// An answer holds the fields of the reply's top level that are a bool, a number or a string.
type answer map[string]any

// serves tells whether a member is in its place: as primary, secondary or arbiter. A member that synchronises, recovers, was removed
// or never initiated is none of these.
func (a answer) serves() bool {
	return a["isWritablePrimary"] == true || a["secondary"] == true || a["arbiterOnly"] == true
}

func (a answer) String() string {
	said := []string{}
	for _, key := range []string{"setName", "me", "info", "codeName", "errmsg"} {
		if value, ok := a[key]; ok {
			said = append(said, fmt.Sprintf("%s %v", key, value))
		}
	}
	if len(said) == 0 {
		return "it says nothing of a replica set"
	}
	return strings.Join(said, ", ")
}

// hello asks a server who it is. An answer with an error (a server that shuts down says code 91) is an answer.
func hello(address string, timeout time.Duration) (answer, error) {
	connection, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if _, err := connection.Write(question()); err != nil {
		return nil, err
	}
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(connection, header); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(header)
	if binary.LittleEndian.Uint32(header[12:]) != opMsg || size < headerSize+5 || size > largestSize {
		return nil, errMalformed
	}
	body := make([]byte, size-headerSize)
	if _, err := io.ReadFull(connection, body); err != nil {
		return nil, err
	}
	if body[4] != 0 { // the kind of the first section, after four bytes of flags
		return nil, errMalformed
	}
	return parse(body[5:])
}

// question is the message {hello: 1, $db: "admin"}.
func question() []byte {
	fields := []byte("\x10hello\x00\x01\x00\x00\x00" + "\x02$db\x00\x06\x00\x00\x00admin\x00" + "\x00")
	document := append(binary.LittleEndian.AppendUint32(nil, uint32(len(fields)+4)), fields...)
	message := make([]byte, headerSize+5, headerSize+5+len(document))
	binary.LittleEndian.PutUint32(message, uint32(headerSize+5+len(document)))
	binary.LittleEndian.PutUint32(message[4:], 1) // the request's number
	binary.LittleEndian.PutUint32(message[12:], opMsg)
	return append(message, document...)
}

// parse reads a BSON document's own fields; what is nested in them is passed over.
func parse(document []byte) (answer, error) {
	if len(document) < 5 || int(binary.LittleEndian.Uint32(document)) > len(document) {
		return nil, errMalformed
	}
	rest := document[4:binary.LittleEndian.Uint32(document)]
	fields := answer{}
	for len(rest) > 0 && rest[0] != 0 {
		kind := rest[0]
		name, after, found := strings.Cut(string(rest[1:]), "\x00")
		if !found {
			return nil, errMalformed
		}
		value, size := valueOf(kind, []byte(after))
		if size < 0 || size > len(after) {
			return nil, errMalformed
		}
		if value != nil {
			fields[name] = value
		}
		rest = []byte(after)[size:]
	}
	return fields, nil
}

// valueOf gives a value of one kind, nil for kinds that nobody asks for, and its size in bytes; -1 when it cannot be one.
func valueOf(kind byte, data []byte) (any, int) {
	length := func(least, more int) int {
		if len(data) < least {
			return -1
		}
		size := int64(binary.LittleEndian.Uint32(data)) + int64(more)
		if size < int64(least) || size > int64(len(data)) {
			return -1
		}
		return int(size)
	}
	switch kind {
	case 0x01: // double
		if len(data) < 8 {
			return nil, -1
		}
		return math.Float64frombits(binary.LittleEndian.Uint64(data)), 8
	case 0x02: // string
		size := length(5, 4)
		if size < 0 {
			return nil, -1
		}
		return string(data[4 : size-1]), size
	case 0x03, 0x04: // document, array
		return nil, length(5, 0)
	case 0x05: // binary
		return nil, length(5, 5)
	case 0x06, 0x0a, 0x7f, 0xff: // undefined, null, the greatest and the least key
		return nil, 0
	case 0x07: // object id
		return nil, 12
	case 0x08: // bool
		if len(data) < 1 {
			return nil, -1
		}
		return data[0] == 1, 1
	case 0x10: // 32 bits
		if len(data) < 4 {
			return nil, -1
		}
		return int64(int32(binary.LittleEndian.Uint32(data))), 4
	case 0x09, 0x11, 0x12: // date, timestamp, 64 bits
		return nil, 8
	case 0x13: // decimal
		return nil, 16
	}
	return nil, -1
}

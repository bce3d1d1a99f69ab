// The peer `go` of the rows io.*: a goroutine for each connection, with the same work as io_server.cc. Prints its port.
package main

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
)

const tcpCongestion = 13 // TCP_CONGESTION of linux/tcp.h

func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, 1024)
	for {
		got, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:got]); err != nil {
			return
		}
	}
}

func answer(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 64*1024)
	writer := bufio.NewWriterSize(connection, 64*1024)
	request := make([]byte, 64)
	for {
		if _, err := io.ReadFull(reader, request); err != nil {
			return
		}
		if _, err := writer.Write(request); err != nil {
			return
		}
		if reader.Buffered() < len(request) {
			if err := writer.Flush(); err != nil {
				return
			}
		}
	}
}

// Frames by hand: short ones of a client's, each a whole message, as io_client.cc sends.
func websocket(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 4096)
	request, err := http.ReadRequest(reader)
	if err != nil {
		return
	}
	hash := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(hash[:]))
	var head [6]byte
	for {
		if _, err := io.ReadFull(reader, head[:]); err != nil {
			return
		}
		size := int(head[1] & 0x7f)
		if head[0] != 0x82 || head[1]&0x80 == 0 || size > 125 {
			return
		}
		message := make([]byte, 2+size)
		if _, err := io.ReadFull(reader, message[2:]); err != nil {
			return
		}
		for i := range message[2:] {
			message[2+i] ^= head[2+(i&3)]
		}
		message[0], message[1] = 0x82, byte(size)
		if _, err := connection.Write(message); err != nil {
			return
		}
	}
}

func main() {
	talk := echo
	if len(os.Args) > 1 && os.Args[1] == "requests" {
		talk = answer
	}
	if len(os.Args) > 1 && os.Args[1] == "http" {
		talk = websocket
	}
	config := net.ListenConfig{Control: func(_, _ string, socket syscall.RawConn) error {
		return socket.Control(func(descriptor uintptr) {
			// As io_client.cc.
			if err := syscall.SetsockoptString(int(descriptor), syscall.IPPROTO_TCP, tcpCongestion, "reno"); err != nil {
				panic(err)
			}
		})
	}}
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go talk(connection)
	}
}

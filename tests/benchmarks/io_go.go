// The peer `go` of the rows io.*: a goroutine for each connection, with the same work as io_server.cc. Prints its port.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"golang.org/x/net/websocket"
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

// By the package of golang.org/x/net: whole messages to and fro.
func echoMessages(socket *websocket.Conn) {
	var message []byte
	for websocket.Message.Receive(socket, &message) == nil {
		if websocket.Message.Send(socket, message) != nil {
			return
		}
	}
}

func main() {
	talk := echo
	if len(os.Args) > 1 && os.Args[1] == "requests" {
		talk = answer
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
	if len(os.Args) > 1 && os.Args[1] == "http" {
		panic(http.Serve(listener, websocket.Server{Handler: echoMessages}))
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go talk(connection)
	}
}

// Serve echo and time in Go, on one CPU: `peer-go tcp|udp`. One goroutine per connection, one for all datagrams.
package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
)

const (
	chunk           = 4096
	acknowledgement = "\nI get it!\n"
)

var anywhere = net.IPv4(127, 0, 0, 1)

func echo(connection *net.TCPConn) {
	defer connection.Close()
	answer := make([]byte, chunk+len(acknowledgement))
	for {
		size, err := connection.Read(answer[:chunk])
		if size > 0 {
			copy(answer[size:], acknowledgement)
			if _, failed := connection.Write(answer[:size+len(acknowledgement)]); failed != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func serveTCP() error {
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: anywhere})
	if err != nil {
		return err
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.AcceptTCP()
		if err != nil {
			return err
		}
		go echo(connection)
	}
}

func serveUDP() error {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: anywhere})
	if err != nil {
		return err
	}
	fmt.Println("port", socket.LocalAddr().(*net.UDPAddr).Port)
	question := make([]byte, chunk)
	answer := make([]byte, 4)
	for {
		_, sender, err := socket.ReadFromUDPAddrPort(question)
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(answer, uint32(time.Now().Unix()))
		socket.WriteToUDPAddrPort(answer, sender) // ignore unanswerable senders
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	serve := serveTCP
	if os.Args[1] == "udp" {
		serve = serveUDP
	}
	fmt.Fprintln(os.Stderr, serve())
	os.Exit(1)
}

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// A connection begins with what it is for.
const (
	modeSend = 's'
	modeEcho = 'e'
)

const chunk = 256 << 10

func main() {
	if len(os.Args) == 1 {
		return
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(what string, args []string) error {
	switch {
	case what == "idle":
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		<-asked
		return nil
	case what == "serve" && len(args) == 1:
		return serve(args[0])
	case (what == "send" || what == "echo") && len(args) == 2:
		length, err := time.ParseDuration(args[1])
		if err != nil {
			return err
		}
		rate, err := measure(what[0], args[0], length)
		if err == nil {
			fmt.Println(strconv.FormatFloat(rate, 'f', 0, 64))
		}
		return err
	}
	return fmt.Errorf("unknown command %q %q", what, args)
}

func serve(port string) error {
	l, err := net.Listen("tcp", net.JoinHostPort("", port))
	if err != nil {
		return err
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port) // whoever asked for port 0 wants to know
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			if err := answer(conn); err != nil {
				fmt.Fprintln(os.Stderr, "probe:", err)
			}
		}()
	}
}

// answer echoes, or counts what comes and says so at its end.
func answer(conn net.Conn) error {
	defer conn.Close()
	mode := make([]byte, 1)
	if _, err := io.ReadFull(conn, mode); err != nil {
		return err
	}
	// Plain reader and writer: no splicing inside the kernel, which would not be what programs do.
	from, to := struct{ io.Reader }{conn}, struct{ io.Writer }{conn}
	if mode[0] == modeEcho {
		_, err := io.CopyBuffer(to, from, mode)
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, from, make([]byte, chunk))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(to, n)
	return err
}

// measure returns what was done per second: bytes that arrived, or round trips.
func measure(mode byte, address string, length time.Duration) (float64, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(length + 30*time.Second)); err != nil {
		return 0, err
	}
	if _, err := conn.Write([]byte{mode}); err != nil {
		return 0, err
	}
	begun := time.Now()
	var n int64
	if mode == modeEcho {
		n, err = echo(conn, begun.Add(length))
	} else {
		n, err = send(conn.(*net.TCPConn), begun.Add(length))
	}
	return float64(n) / time.Since(begun).Seconds(), err
}

func echo(conn net.Conn, until time.Time) (n int64, err error) {
	b := []byte{0}
	for ; time.Now().Before(until); n++ {
		if _, err := conn.Write(b); err != nil {
			return n, err
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			return n, err
		}
	}
	return n, nil
}

func send(conn *net.TCPConn, until time.Time) (n int64, err error) {
	b := make([]byte, chunk)
	for time.Now().Before(until) {
		if _, err := conn.Write(b); err != nil {
			return 0, err
		}
	}
	if err := conn.CloseWrite(); err != nil {
		return 0, err
	}
	if _, err := fmt.Fscan(conn, &n); err != nil {
		return 0, errors.Join(errors.New("the server did not say what arrived"), err)
	}
	return n, nil
}

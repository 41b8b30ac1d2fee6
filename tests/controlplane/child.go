package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	// The API server may wait a minute for what it needs to end well; its data is etcd's, so it need not.
	stopBound = 10 * time.Second
	// Lines of a child's log that an error shows.
	tailLines = 20
)

// child is a server process that does not outlive the supervisor.
type child struct {
	name     string
	process  *exec.Cmd
	log      string
	logStart int64         // where this process begins in the log, which it may share with one before it
	done     chan struct{} // closed once the process is gone
}

// startChild must be called on the main thread. The kernel sends Pdeathsig when the *thread* that started the child ends,
// and only the main thread, locked in init, is sure to last as long as the supervisor.
func startChild(path, name, log string, args ...string) (*child, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	logStart, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}

	process := exec.Command(path, args...)
	process.Stdout, process.Stderr = file, file
	process.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // a terminal's Ctrl-C reaches the supervisor only, which stops its children in order
	}
	if err := process.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	c := &child{name: name, process: process, log: log, logStart: logStart, done: make(chan struct{})}
	go func() {
		process.Wait() // how it ended stays in ProcessState, for failure
		close(c.done)
	}()
	return c, nil
}

// stop asks the child to end and sees to it that it does.
func (c *child) stop() error {
	err := c.process.Process.Signal(syscall.SIGTERM)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot stop %s: %w", c.name, err)
	}
	select {
	case <-c.done:
		return nil
	case <-time.After(stopBound):
	}
	err = c.process.Process.Kill()
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot kill %s: %w", c.name, err)
	}
	<-c.done
	return nil
}

// failure is the error of a child that ended though nobody stopped it.
func (c *child) failure() error {
	return fmt.Errorf("%s ended by itself (%s); the end of its log:\n%s", c.name, c.process.ProcessState, c.logTail())
}

func (c *child) logTail() string {
	log, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(log[c.logStart:])), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// waitBound is for a machine that compiles at the same time.
const waitBound = 3 * time.Minute

// The test binary is also the supervisor under test, and a parent that holds a supervisor's stdin.
func TestMain(m *testing.M) {
	switch os.Getenv("CONTROLPLANE_TEST_ROLE") {
	case "supervisor":
		main()
	case "parent":
		parent()
	default:
		os.Exit(m.Run())
	}
}

// parent starts a supervisor as a test does, and then only waits.
func parent() {
	supervisor := exec.Command(os.Args[0], os.Args[1:]...)
	supervisor.Env = append(os.Environ(), "CONTROLPLANE_TEST_ROLE=supervisor")
	supervisor.Stdout, supervisor.Stderr = os.Stdout, os.Stderr
	if _, err := supervisor.StdinPipe(); err != nil {
		panic(err)
	}
	if err := supervisor.Run(); err != nil {
		panic(err)
	}
}

// world is a supervisor, or a parent with one, and all that it may leave behind.
type world struct {
	*testing.T
	process *exec.Cmd
	stdin   io.WriteCloser
	lines   chan string // of stdout; closed when it ends

	// Holds the supervisor's temporary directory and its logs, and so stands in the command line of every process.
	root string
}

func start(t *testing.T, role string, flags ...string) *world {
	t.Helper()
	programs := assets(t)
	// Not t.TempDir: its path is too long for a socket below it.
	root, err := os.MkdirTemp("", "world-")
	must(t, err)
	must(t, os.Mkdir(filepath.Join(root, "tmp"), 0o700))
	w := &world{T: t, root: root, lines: make(chan string, 16)}

	w.process = exec.Command(os.Args[0], append([]string{"--logs", filepath.Join(root, "logs")}, flags...)...)
	w.process.Env = append(os.Environ(),
		"CONTROLPLANE_TEST_ROLE="+role, "TMPDIR="+filepath.Join(root, "tmp"), "KUBEBUILDER_ASSETS="+programs)
	// A file, not a buffer: for a buffer Wait would wait until a supervisor that lost its parent has closed it.
	stderr, err := os.Create(filepath.Join(root, "stderr"))
	must(t, err)
	defer stderr.Close()
	w.process.Stderr = stderr
	w.stdin, err = w.process.StdinPipe()
	must(t, err)
	// Not StdoutPipe: Wait would close it under the reader.
	stdout, childStdout, err := os.Pipe()
	must(t, err)
	w.process.Stdout = childStdout
	must(t, w.process.Start())
	must(t, childStdout.Close())
	go w.readLines(stdout)

	t.Cleanup(func() {
		for _, pid := range w.processes("") {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		os.RemoveAll(root)
	})
	return w
}

func (w *world) readLines(stdout *os.File) {
	defer stdout.Close()
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		w.lines <- lines.Text()
	}
	close(w.lines)
}

// assets is the directory of the programs, which the test binary is not in.
func assets(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir
	}
	dir, err := filepath.Abs("../../target/controlplane/bin")
	must(t, err)
	if _, err := os.Stat(filepath.Join(dir, "stamp")); err != nil {
		t.Fatal("the control plane is not built: run tests/controlplane/build")
	}
	return dir
}

func (w *world) stderr() string {
	w.Helper()
	stderr, err := os.ReadFile(filepath.Join(w.root, "stderr"))
	must(w.T, err)
	return string(stderr)
}

func (w *world) stderrSays(want string) {
	w.Helper()
	if got := w.stderr(); !strings.Contains(got, want) {
		w.Fatalf("stderr does not say %q:\n%s", want, got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// line is the next line of stdout.
func (w *world) line() string {
	w.Helper()
	select {
	case line, open := <-w.lines:
		if !open {
			w.Fatalf("stdout ended; stderr:\n%s", w.stderr())
		}
		return line
	case <-time.After(waitBound):
		w.Fatal("no line on stdout")
	}
	panic("not reached")
}

func (w *world) ready() (r ready) {
	w.Helper()
	must(w.T, json.Unmarshal([]byte(w.line()), &r))
	return r
}

func (w *world) kubectl(r ready, args ...string) string {
	w.Helper()
	output, err := exec.Command(r.Kubectl, append([]string{"--kubeconfig", r.Kubeconfig}, args...)...).CombinedOutput()
	if err != nil {
		w.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

func (w *world) command(line string) string {
	w.Helper()
	_, err := io.WriteString(w.stdin, line+"\n")
	must(w.T, err)
	return w.line()
}

func (w *world) signal(pid int, signal syscall.Signal) {
	w.Helper()
	must(w.T, syscall.Kill(pid, signal))
}

// exits waits for the process and checks its exit code; -1 is that of a killed one.
func (w *world) exits(code int) {
	w.Helper()
	timer := time.AfterFunc(waitBound, func() { w.process.Process.Kill() })
	w.process.Wait()
	if !timer.Stop() {
		w.Fatal("the process did not end")
	}
	if got := w.process.ProcessState.ExitCode(); got != code {
		w.Fatalf("exit code %d instead of %d; stderr:\n%s", got, code, w.stderr())
	}
}

// processes of this world that live, all or those of one program. A dead one not yet reaped has no command line.
func (w *world) processes(program string) (pids []int) {
	w.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(w.T, err)
	for _, path := range paths {
		cmdline, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(cmdline, []byte(w.root)) { // an error: it ended just now
			continue
		}
		name, _, _ := strings.Cut(string(cmdline), "\x00")
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		must(w.T, err)
		if program == "" || filepath.Base(name) == program {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (w *world) eventually(what string, condition func() bool) {
	w.Helper()
	deadline := time.After(waitBound)
	for !condition() {
		select {
		case <-deadline:
			w.Fatalf("not so: %s; stderr:\n%s", what, w.stderr())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (w *world) leavesNoProcess() {
	w.Helper()
	w.eventually("no process is left", func() bool { return len(w.processes("")) == 0 })
}

func (w *world) leavesNothing() {
	w.Helper()
	w.leavesNoProcess()
	left, err := filepath.Glob(filepath.Join(w.root, "tmp", "*"))
	must(w.T, err)
	if len(left) > 0 {
		w.Fatalf("left behind: %v", left)
	}
}

func TestClosedStdinEndsEverything(t *testing.T) {
	w := start(t, "supervisor")
	r := w.ready()
	w.kubectl(r, "get", "namespace", "default")
	if len(w.processes("")) != 3 {
		t.Fatalf("%d processes are seen instead of supervisor, etcd and kube-apiserver", len(w.processes("")))
	}
	must(t, w.stdin.Close())
	w.exits(0)
	w.leavesNothing()
}

func TestSIGINTEndsEverything(t *testing.T) {
	w := start(t, "supervisor")
	w.ready()
	w.signal(w.process.Process.Pid, syscall.SIGINT)
	w.exits(0)
	w.leavesNothing()
}

func TestStdinClosedDuringTheStartEndsEverything(t *testing.T) {
	w := start(t, "supervisor")
	w.eventually("kube-apiserver starts", func() bool { return len(w.processes("kube-apiserver")) == 1 })
	must(t, w.stdin.Close())
	w.exits(0)
	w.leavesNothing()
}

func TestKilledSupervisorTakesItsChildrenAlong(t *testing.T) {
	w := start(t, "supervisor")
	w.ready()
	w.signal(w.process.Process.Pid, syscall.SIGKILL)
	w.exits(-1)
	w.leavesNoProcess()
}

func TestKilledParentEndsEverything(t *testing.T) {
	w := start(t, "parent")
	w.ready()
	w.signal(w.process.Process.Pid, syscall.SIGKILL)
	w.exits(-1)
	w.leavesNothing()
}

func TestDeadChildIsAnError(t *testing.T) {
	for _, program := range []string{"etcd", "kube-apiserver"} {
		t.Run(program, func(t *testing.T) {
			w := start(t, "supervisor")
			w.ready()
			w.signal(w.processes(program)[0], syscall.SIGKILL)
			w.exits(1)
			w.stderrSays(program + " ended by itself (signal: killed)")
			w.leavesNothing()
		})
	}
}

func TestRefusedFlagIsShownWithTheLog(t *testing.T) {
	w := start(t, "supervisor", "--", "--no-such-flag")
	w.exits(1)
	w.stderrSays("unknown flag: --no-such-flag")
	w.leavesNothing()
}

func TestRestartKeepsDataAndPort(t *testing.T) {
	w := start(t, "supervisor")
	r := w.ready()
	w.kubectl(r, "create", "namespace", "kept")
	before := w.processes("kube-apiserver")[0]
	if got := w.command("restart-apiserver"); got != `{"restarted":true}` {
		t.Fatal(got)
	}
	if after := w.processes("kube-apiserver"); len(after) != 1 || after[0] == before {
		t.Fatalf("kube-apiserver was process %d and is %v", before, after)
	}
	w.kubectl(r, "get", "namespace", "kept")
}

func TestUnknownCommandIsAnswered(t *testing.T) {
	w := start(t, "supervisor")
	w.ready()
	if got := w.command("dance"); got != `{"error":"unknown command \"dance\": known is restart-apiserver"}` {
		t.Fatal(got)
	}
}

func TestAuditLogHasEachRequest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	w := start(t, "supervisor", "--audit-log", path)
	w.kubectl(w.ready(), "auth", "whoami")
	log, err := os.ReadFile(path)
	must(t, err)
	if want := `"requestURI":"/apis/authentication.k8s.io/v1/selfsubjectreviews"`; !strings.Contains(string(log), want) {
		t.Fatalf("the audit log lacks %s", want)
	}
}

func TestMissingProgramNamesTheCommand(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		t.Setenv("KUBEBUILDER_ASSETS", dir)
		_, err := findBinaries()
		if err == nil || !strings.Contains(err.Error(), "run tests/controlplane/build") {
			t.Fatalf("with KUBEBUILDER_ASSETS=%q: %v", dir, err)
		}
	}
}

//! What people do all day still works behind the filter.

use sandbox::{Exit, presets};

use crate::{Host, each};

/// Runs a script under each preset that may start processes; it must succeed and say this.
fn works(script: &str, said: &str) {
    each(|host: &Host| {
        for preset in [presets::tool(), presets::check(), presets::agent_cli()] {
            let script = format!("cd /work; rm -rf ./* .git; {script}");
            let output = host.run(host.with_work(preset), &["sh", "-e", "-c", &script]);
            assert_eq!((output.exit, output.out.as_str()), (Exit::Code(0), said), "{}", output.err);
        }
    });
}

#[test]
fn git() {
    let script = "
        git init -q -b main a; cd a; git config user.name a; git config user.email a@b
        echo 1 > f; git add f; git commit -qm one; git switch -qc side; echo 2 > f; git commit -qam two
        git switch -q main; echo 3 > g; git add g; git commit -qm three; git merge -q -m merge side
        git gc -q; git worktree add -q ../w side; cd ..; git clone -q a b; git -C b bundle create -q ../x main
        git -C b log --oneline | wc -l; cat b/f";
    works(script, "4\n2\n");
}

#[test]
fn builds() {
    let script = "
        printf 'int f(int x){return x+1;}' > f.c; printf 'int f(int);int main(){return f(0)-1;}' > m.c
        printf 'all: m\\n\\t./m && echo built\\nm: f.o m.o\\n\\tcc -o m f.o m.o\\n' > Makefile
        make -s -j4";
    works(script, "built\n");
}

#[test]
fn python_with_processes() {
    let script = r#"cat > t.py <<'X'
import asyncio, multiprocessing, os, signal, socket, sqlite3, subprocess, sys, tempfile, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
def square(x): return x * x
async def asynchronous():
    process = await asyncio.create_subprocess_exec("echo", "async", stdout=subprocess.PIPE)
    return (await process.communicate())[0].decode().strip()
if __name__ == "__main__":
    print(multiprocessing.Pool(2).map(square, [1, 2, 3]))
    with multiprocessing.get_context("spawn").Pool(1) as pool: print(pool.map(square, [4]))
    with ProcessPoolExecutor(2) as pool: print(list(pool.map(square, [5])))
    queue = multiprocessing.Queue(); process = multiprocessing.Process(target=queue.put, args=(6,)); process.start(); print(queue.get()); process.join()
    print(asyncio.run(asynchronous()))
    server = socket.create_server(("127.0.0.1", 0)); client = socket.create_connection(server.getsockname()); client.close()
    database = sqlite3.connect("d.sqlite"); database.execute("create table t(x)"); database.commit()
    print(subprocess.run("exit 3", shell=True).returncode)
    process = subprocess.Popen(["sleep", "9"], start_new_session=True); os.killpg(process.pid, signal.SIGTERM); print(process.wait())
    os.nice(1)
X
python3 t.py"#;
    works(script, "[1, 4, 9]\n[16]\n[25]\n6\nasync\n3\n-15\n");
}

#[test]
fn node_with_processes() {
    let script = r#"cat > t.js <<'X'
const { spawnSync, fork } = require('child_process');
const fs = require('fs');
if (process.argv[2] === 'child') { process.send('hello'); process.disconnect(); }
else {
  console.log(spawnSync('echo', ['a']).stdout.toString().trim());
  const server = require('http').createServer((_, answer) => answer.end('b')).listen(0, '127.0.0.1', async () => {
    console.log(await (await fetch(`http://127.0.0.1:${server.address().port}`)).text());
    server.close();
    const watcher = fs.watch('.'); watcher.close();
    fs.copyFileSync('t.js', 'u.js'); fs.rmSync('u.js');
    console.log(require('zlib').gunzipSync(require('zlib').gzipSync('c')).toString(), require('crypto').randomBytes(4).length);
    fork(__filename, ['child']).on('message', it => console.log(it));
  });
}
X
node t.js child 2>/dev/null || true; node t.js"#;
    works(script, "a\nb\nc 4\nhello\n");
}

#[test]
fn terminals_and_job_control() {
    let script = r#"python3 - <<'X'
import os, pty, subprocess
read = lambda fd: os.read(fd, 100)
code = pty.spawn(["sh", "-c", "tty >/dev/null && echo terminal"], read)
print(code)
X"#;
    each(|host| {
        for preset in [presets::check(), presets::agent_cli()] {
            let output = host.run(host.with_work(preset), &["sh", "-c", script]);
            assert_eq!(output.out, "terminal\r\n0\n", "{}", output.err);
        }
    });
}

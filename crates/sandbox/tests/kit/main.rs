//! What the tests run: the launcher, an engine to kill, and programs that try things inside a sandbox.
use std::process::ExitCode;
fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("__sandbox") {
        return sandbox::launcher_main();
    }
    let exe = std::env::current_exe().unwrap();
    let l = sandbox::Launcher::new(vec![exe.into(), "__sandbox".into()]).unwrap();
    println!("{:?}", sandbox::host_report(&l));
    for _ in 0..20 {
        let t = std::time::Instant::now();
        let mut s = l
            .launch(&sandbox::Launch {
                policy: sandbox::presets::tool(),
                program: "true".into(),
                args: vec![],
                cwd: "/".into(),
            })
            .unwrap();
        let t1 = t.elapsed();
        let e = s.tree.wait();
        println!("{e:?} {t1:?} {:?}", t.elapsed());
    }
    ExitCode::SUCCESS
}

//! Reads what comes out of a sandbox as an agent's work, and believes none of it.
//!
//! The stream is a word, and then a git bundle with exactly one snapshot in it. Its header is read here, within limits; its
//! objects are checked one by one by git as they are taken in; and only what the objects themselves say counts: that the
//! snapshot exists, and that it stands on the commit it says.

use crate::{
    CommitId, Error, ErrorKind, Result, TreeId,
    git::Git,
    receive::{self, PackLimits},
};
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt};

/// The name of the one ref in a bundle.
const BUNDLE_REF: &str = "refs/muster/checkpoint";
/// Most bytes of a bundle's header; ours have about 200.
const HEADER_BYTES_MAX: u64 = 4 << 10;

/// What the header of a bundle claims.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bundle {
    /// The snapshot's commit.
    pub tip: CommitId,
    /// The commit that it stands on.
    pub base: CommitId,
}

/// What the objects say.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub tree: TreeId,
    /// How many paths differ from the base.
    pub files_changed: usize,
}

/// Reads the answer of a snapshot and takes its objects into `vault`; `None` when nothing changed.
pub(crate) async fn read_answer(vault: &Path, mut stream: impl AsyncBufReadExt + Unpin) -> Result<Option<Bundle>> {
    match read_line(&mut stream).await?.as_str() {
        "same" => Ok(None),
        "new" => import(vault, stream, PackLimits::default()).await.map(Some),
        _ => Err(Error::new(ErrorKind::Rejected, "the snapshot gave no answer")),
    }
}

/// Reads a bundle with one ref and one prerequisite, and takes its objects into `vault`.
async fn import(vault: &Path, mut stream: impl AsyncBufReadExt + Unpin, limits: PackLimits) -> Result<Bundle> {
    let rejected = |what: &str| Error::new(ErrorKind::Rejected, format!("the bundle is refused: {what}"));
    let mut header = (&mut stream).take(HEADER_BYTES_MAX);
    match read_line(&mut header).await?.as_str() {
        "# v2 git bundle" | "# v3 git bundle" => {}
        _ => return Err(rejected("it has no signature")),
    }
    let (mut base, mut tip) = (None, None);
    loop {
        let line = read_line(&mut header).await?;
        match (line.as_str(), line.strip_prefix('-'), line.split_once(' ')) {
            ("", ..) => break,
            ("@object-format=sha256", ..) => {}
            // git adds the commit's title to a prerequisite.
            (_, Some(about), _) if base.is_none() => base = Some(id(about.split(' ').next().unwrap_or_default())?),
            (_, _, Some((tip_id, BUNDLE_REF))) if tip.is_none() => tip = Some(id(tip_id)?),
            _ => return Err(rejected("it holds something else than one snapshot")),
        }
    }
    let (Some(base), Some(tip)) = (base, tip) else { return Err(rejected("its header is not complete")) };
    receive::receive(vault, stream, limits).await?;
    Ok(Bundle { tip, base })
}

fn id(text: &str) -> Result<CommitId> {
    CommitId::new(text).map_err(|error| Error { kind: ErrorKind::Rejected, ..error })
}

impl Bundle {
    /// Compares the claim with the objects. Errors: `Rejected`.
    pub async fn verify(&self, vault: &Path) -> Result<Snapshot> {
        let rejected = |what: &str| Error::new(ErrorKind::Rejected, format!("the snapshot {} {what}", self.tip));
        let args = ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-ext-diff", "--always", "--format=%T %P"];
        let git = Git::at(vault).to("reading a snapshot").args(args).args([self.tip.as_str()]);
        let answer = git.accept(&[0, 128]).run().await?;
        if answer.code != 0 {
            return Err(rejected("is not in its bundle"));
        }
        // With -z the first field is the format; then come, after a line end, pairs of a raw line and a path.
        let mut fields = answer.fields();
        let about = fields.next().unwrap_or_default();
        let (tree, parents) = about.trim_end().split_once(' ').ok_or_else(|| rejected("stands on nothing"))?;
        if parents != self.base.as_str() {
            return Err(rejected("does not stand on the commit it says"));
        }
        Ok(Snapshot { tree: TreeId::new(tree)?, files_changed: fields.count() / 2 })
    }
}

/// Reads one line without its end. Errors: `Rejected` for the end of the stream, a line that is too long or not UTF-8.
async fn read_line(stream: &mut (impl AsyncBufReadExt + AsyncRead + Unpin)) -> Result<String> {
    let mut line = Vec::new();
    let mut bounded = stream.take(HEADER_BYTES_MAX);
    bounded.read_until(b'\n', &mut line).await.map_err(|e| Error::io("reading a snapshot", &e))?;
    if line.pop() != Some(b'\n') {
        return Err(Error::new(ErrorKind::Rejected, "the snapshot ended early"));
    }
    String::from_utf8(line).map_err(|_| Error::new(ErrorKind::Rejected, "the snapshot's header is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{ObjectFormat, Skeleton};
    use std::{fs, path::PathBuf, process::Command};

    /// An agent's repository with two commits, and a vault that has the first.
    struct Hand {
        temp: tempfile::TempDir,
        base: String,
        tip: String,
    }

    impl Hand {
        fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            let mut hand = Self { temp, base: String::new(), tip: String::new() };
            fs::create_dir(hand.agent()).unwrap();
            hand.git(&["init", "-q"]);
            hand.base = hand.commit("base", "1\n");
            let skeleton =
                Skeleton { format: ObjectFormat::Sha1, branch: "x", alternates: None, shallow: None, config: "" };
            skeleton.write(&hand.vault(), true).unwrap();
            hand.git(&["push", "-q", hand.vault().to_str().unwrap(), "HEAD:refs/heads/x"]);
            hand.tip = hand.commit("work", "2\n");
            hand
        }

        fn agent(&self) -> PathBuf {
            self.temp.path().join("agent")
        }

        fn vault(&self) -> PathBuf {
            self.temp.path().join("vault.git")
        }

        fn git(&self, args: &[&str]) -> Vec<u8> {
            let user = ["-c", "user.name=a", "-c", "user.email=a@localhost"];
            let done = Command::new("git").args(user).args(args).current_dir(self.agent()).output().unwrap();
            assert!(done.status.success(), "{args:?} {}", String::from_utf8_lossy(&done.stderr));
            done.stdout
        }

        fn commit(&self, message: &str, text: &str) -> String {
            fs::write(self.agent().join("f"), text).unwrap();
            self.git(&["add", "-A"]);
            self.git(&["commit", "-q", "-m", message]);
            String::from_utf8(self.git(&["rev-parse", "HEAD"])).unwrap().trim().to_owned()
        }

        /// What git itself makes of the newest commit.
        fn bundle(&self) -> Vec<u8> {
            self.git(&["update-ref", BUNDLE_REF, "HEAD"]);
            let range = format!("^{}", self.base);
            self.git(&["bundle", "create", "-q", "-", BUNDLE_REF, &range])
        }

        fn pack(&self) -> Vec<u8> {
            let bundle = self.bundle();
            let start = bundle.windows(6).position(|bytes| bytes == b"\n\nPACK").unwrap() + 2;
            bundle[start..].to_vec()
        }

        async fn take(&self, bytes: &[u8]) -> Result<Snapshot> {
            self.take_within(bytes, PackLimits::default()).await
        }

        async fn take_within(&self, bytes: &[u8], limits: PackLimits) -> Result<Snapshot> {
            import(&self.vault(), bytes, limits).await?.verify(&self.vault()).await
        }

        async fn refusal(&self, bytes: &[u8]) -> String {
            let error = self.take(bytes).await.expect_err("refused");
            assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
            error.message
        }

        /// The true pack under a header of our own.
        async fn lie(&self, header: &str) -> String {
            self.refusal(&[header.as_bytes(), &self.pack()].concat()).await
        }
    }

    #[tokio::test]
    async fn a_true_bundle_of_gits_own_is_taken() {
        let hand = Hand::new();
        let snapshot = hand.take(&hand.bundle()).await.unwrap();
        assert_eq!(snapshot.files_changed, 1);
        hand.take(&hand.bundle()).await.unwrap();
    }

    #[tokio::test]
    async fn garbage_is_refused() {
        let hand = Hand::new();
        let bundle = hand.bundle();
        assert!(hand.refusal(b"").await.contains("ended early"));
        assert!(hand.refusal(b"\n\n\n").await.contains("no signature"));
        assert!(hand.refusal(&b"x".repeat(1 << 20)).await.contains("ended early"));
        assert!(hand.refusal(b"# v2 git bundle\n\xff\xff\n").await.contains("not text"));
        for cut in [bundle.len() - 1, bundle.len() - 30, bundle.len() / 2] {
            hand.refusal(&bundle[..cut]).await;
        }
        let mut flipped = bundle.clone();
        let last = flipped.len() - 25;
        flipped[last] ^= 1;
        hand.refusal(&flipped).await;
    }

    #[tokio::test]
    async fn a_header_that_lies_is_refused() {
        let hand = Hand::new();
        let (base, tip, none) = (hand.base.clone(), hand.tip.clone(), "1".repeat(40));
        let header = |base: &str, tip: &str| format!("# v2 git bundle\n-{base}\n{tip} {BUNDLE_REF}\n\n");
        assert!(hand.lie(&header(&base, &none)).await.contains("is not in its bundle"));
        assert!(hand.lie(&header(&none, &tip)).await.contains("does not stand on"));
        assert!(hand.lie(&header(&base, &base)).await.contains("stands on nothing"));
        let tree = String::from_utf8(hand.git(&["rev-parse", "HEAD^{tree}"])).unwrap();
        hand.lie(&header(&base, tree.trim())).await;
        hand.lie(&format!("# v2 git bundle\n-{base}\n{tip} refs/heads/main\n\n")).await;
        hand.lie(&format!("# v2 git bundle\n-{base}\n{tip} {BUNDLE_REF}\n{tip} {BUNDLE_REF}\n\n")).await;
        hand.lie(&format!("# v2 git bundle\n{tip} {BUNDLE_REF}\n\n")).await;
    }

    #[tokio::test]
    async fn what_is_too_large_is_refused_before_it_is_kept() {
        let hand = Hand::new();
        let bundle = hand.bundle();
        let small = PackLimits { bytes: 40, objects: 500 };
        assert_eq!(hand.take_within(&bundle, small).await.unwrap_err().kind, ErrorKind::TooLarge);
        let few = PackLimits { bytes: 1 << 20, objects: 2 };
        assert_eq!(hand.take_within(&bundle, few).await.unwrap_err().kind, ErrorKind::TooLarge);
        // A header that promises four thousand million objects.
        let mut boast = hand.pack();
        boast[8..12].copy_from_slice(&[255; 4]);
        let header = format!("# v2 git bundle\n-{}\n{} {BUNDLE_REF}\n\n", hand.base, hand.tip);
        let error = hand.take(&[header.as_bytes(), &boast].concat()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge);
    }

    /// One object of a pack whose content is not compressed.
    fn packed(kind: u8, size: usize, base: &[u8], content: &[u8]) -> Vec<u8> {
        let mut head = vec![(kind << 4) | (size & 15) as u8];
        let mut rest = size >> 4;
        while rest > 0 {
            *head.last_mut().unwrap() |= 128;
            head.push((rest & 127) as u8);
            rest >>= 7;
        }
        let (mut low, mut high) = (1_u32, 0_u32);
        for byte in content {
            low = (low + u32::from(*byte)) % 65_521;
            high = (high + low) % 65_521;
        }
        let mut deflated = vec![0x78, 1];
        let pieces = content.chunks(60_000).collect::<Vec<_>>();
        for (index, piece) in pieces.iter().enumerate() {
            let length = u16::try_from(piece.len()).unwrap();
            deflated.push(u8::from(index + 1 == pieces.len()));
            deflated.extend(length.to_le_bytes().into_iter().chain((!length).to_le_bytes()));
            deflated.extend(*piece);
        }
        deflated.extend(((high << 16) | low).to_be_bytes());
        [head, base.to_vec(), deflated].concat()
    }

    /// A number as a delta writes it.
    fn number(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value > 127 {
            bytes.push((value & 127) as u8 | 128);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    /// A delta that copies the first `piece` bytes of its base over and over.
    fn copies(from: u64, piece: u32, times: u64) -> Vec<u8> {
        let [a, b, c, _] = piece.to_le_bytes();
        let copy = [0b1111_0000, a, b, c];
        let mut delta = [number(from), number(u64::from(piece) * times)].concat();
        (0..times).for_each(|_| delta.extend(copy));
        delta
    }

    #[tokio::test]
    async fn a_pack_that_unfolds_to_gigabytes_is_refused_within_the_memory_of_one_process() {
        let hand = Hand::new();
        let offset = |distance: usize| {
            let (mut bytes, mut rest) = (vec![(distance & 127) as u8], distance >> 7);
            while rest > 0 {
                rest -= 1;
                bytes.insert(0, (rest & 127) as u8 | 128);
                rest >>= 7;
            }
            bytes
        };
        let base = packed(3, 1 << 16, &[], &vec![0; 1 << 16]);
        // 64 KiB, 16 MiB of it, 4 GiB of that.
        let first = copies(1 << 16, 1 << 16, 255);
        let middle = packed(6, first.len(), &offset(base.len()), &first);
        let second = copies(255 << 16, 255 << 16, 257);
        let last = packed(6, second.len(), &offset(middle.len()), &second);
        let mut pack = [b"PACK\0\0\0\x02\0\0\0\x03".to_vec(), base, middle, last].concat();
        let file = hand.temp.path().join("bomb");
        fs::write(&file, &pack).unwrap();
        let sum = Command::new("sha1sum").arg(&file).output().unwrap().stdout;
        let sum = String::from_utf8(sum).unwrap();
        pack.extend((0..20).map(|n| u8::from_str_radix(&sum[2 * n..2 * n + 2], 16).unwrap()));
        let header = format!("# v2 git bundle\n-{}\n{} {BUNDLE_REF}\n\n", hand.base, hand.tip);
        let began = std::time::Instant::now();
        let error = hand.take(&[header.as_bytes(), &pack].concat()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
        assert!(error.message.contains("unfold"), "{error}");
        // It took 2.8 GiB and 82 seconds without a limit.
        assert!(began.elapsed() < std::time::Duration::from_secs(20));
    }

    #[tokio::test]
    async fn names_that_lead_out_of_the_tree_are_refused() {
        let hand = Hand::new();
        let blob = String::from_utf8(hand.git(&["rev-parse", "HEAD:f"])).unwrap();
        let id: Vec<u8> = (0..20).map(|n| u8::from_str_radix(&blob[2 * n..2 * n + 2], 16).unwrap()).collect();
        for name in ["..", ".", ".git", ".GIT", "a/b", ".git\u{200c}", "git~1"] {
            let tree = hand.temp.path().join("tree");
            fs::write(&tree, [format!("100644 {name}\0").as_bytes(), &id].concat()).unwrap();
            let tree = hand.git(&["hash-object", "-t", "tree", "-w", "--literally", tree.to_str().unwrap()]);
            let tree = String::from_utf8(tree).unwrap();
            let commit = hand.git(&["commit-tree", "-m", "x", "-p", &hand.base, tree.trim()]);
            let commit = String::from_utf8(commit).unwrap();
            hand.git(&["update-ref", "HEAD", commit.trim()]);
            let said = hand.refusal(&hand.bundle()).await;
            assert!(said.contains("taking in objects"), "{name:?}: {said}");
        }
    }

    #[tokio::test]
    async fn a_snapshot_whose_files_are_missing_is_refused() {
        let hand = Hand::new();
        let list = format!("{}\n", hand.tip);
        fs::write(hand.temp.path().join("list"), list).unwrap();
        let command = "git pack-objects --stdout -q <../list";
        let pack = Command::new("sh").args(["-c", command]).current_dir(hand.agent()).output().unwrap().stdout;
        let header = format!("# v2 git bundle\n-{}\n{} {BUNDLE_REF}\n\n", hand.base, hand.tip);
        let said = hand.refusal(&[header.as_bytes(), &pack].concat()).await;
        assert!(said.contains("taking in objects"), "{said}");
    }

    #[tokio::test]
    async fn the_answer_begins_with_a_word() {
        let hand = Hand::new();
        assert_eq!(read_answer(&hand.vault(), b"same\n".as_slice()).await.unwrap(), None);
        assert!(
            read_answer(&hand.vault(), [b"new\n", hand.bundle().as_slice()].concat().as_slice())
                .await
                .unwrap()
                .is_some()
        );
        assert!(read_answer(&hand.vault(), b"what\n".as_slice()).await.is_err());
    }
}

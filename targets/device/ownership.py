"""Could somebody else change what lies at a path? Asked before root, or whoever runs edgeskel, runs or believes anything there.

Alone in its file and standard library only: it is sent ahead through a connection, and stands in the systemd units, where
no file has to be believed before it has answered. It must parse on Pythons that are too old for the rest.
"""

import os
import stat

__all__ = ["EXPECTED", "REMEDY", "deny_others_writing", "writable_by_others", "untrusted"]

EXPECTED = "a place of which every part belongs to %s and nobody else can write in it"
REMEDY = "choose another --prefix; or, once you have looked at what lies there: sudo chown root:root and chmod go-w"
_LINKS = 40  # as many as Linux follows


def untrusted(path: str, uid: int, sticky: bool = False, mount: bool = False, root: str = "/") -> "str | None":
    """Why somebody other than root and the user ``uid`` could change what ``path`` leads to; None where nobody can.

    Walks down from / as sshd's StrictModes does, each part opened in the one before, so that nothing can be exchanged between
    being looked at and being gone into. A link counts like a folder: whoever owns it decides where it leads, and the way there
    is walked in the same manner. What is absent is left out: only the owners of the folders above could make it.

    Args:
        path: of a file or a folder.
        uid: whom it may belong to, beside root.
        sticky: whether a folder may be open to everybody if its sticky bit keeps them from what is not theirs (/tmp).
        mount: whether that holds for the last folder of ``path`` alone, as a tmpfs that was just mounted there has it; whoever
            goes on then takes that right away (:func:`deny_others_writing`).
        root: where the way begins; a service with a file system of its own finds the system's at ``/proc/1/root``.
    """
    look = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    opened = [os.open(root, os.O_PATH | os.O_CLOEXEC)]
    names: list[str] = []
    links = 0
    rest = os.path.abspath(path).split("/")[::-1]
    try:
        why = writable_by_others("/", os.fstat(opened[0]), uid, sticky, opened[0])
        while rest and not why:
            name = rest.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if names:
                    names.pop()
                    os.close(opened.pop())
                continue
            place = "/" + "/".join([*names, name])
            try:
                entry = os.open(name, look, dir_fd=opened[-1])
            except FileNotFoundError:
                break
            except OSError as error:
                return f"{place}: {error.strerror}"
            opened.append(entry)
            names.append(name)
            facts = os.fstat(entry)
            why = writable_by_others(place, facts, uid, sticky or (mount and not any(rest)), entry)
            if not why and stat.S_ISLNK(facts.st_mode):
                links += 1
                if links > _LINKS:
                    return f"{place}: too many links"
                target = os.readlink("", dir_fd=entry)
                for _ in range(len(names) if target.startswith("/") else 1):
                    names.pop()
                    os.close(opened.pop())
                rest += target.split("/")[::-1]
        return why
    finally:
        for entry in opened:
            os.close(entry)


def deny_others_writing(path: str) -> None:
    """Take the right to write in a folder from everybody but its owner, where that is us."""
    entry = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        facts = os.fstat(entry)
        if facts.st_uid == os.getuid() and facts.st_mode & 0o022:
            os.fchmod(entry, 0o755)
    finally:
        os.close(entry)


def writable_by_others(
    place: str, facts: os.stat_result, uid: int, sticky: bool = False, entry: "int | None" = None
) -> "str | None":
    """The same of one file or folder alone, by what ``stat`` says of it; ``entry`` is its descriptor, where it is open."""
    if facts.st_uid not in (0, uid):
        return f"{place} belongs to {_name(facts.st_uid)}"
    if stat.S_ISLNK(facts.st_mode):
        return None  # nobody writes in a link
    if sticky and stat.S_ISDIR(facts.st_mode) and facts.st_mode & stat.S_ISVTX:
        return None
    if facts.st_mode & 0o002:
        return f"everybody can write in {place}"
    named = place if entry is None else f"/proc/self/fd/{entry}"
    if facts.st_mode & 0o020 and (not _closed_group(facts.st_gid, uid) or _has_list(named)):
        return f"others than its owner can write in {place} (group {facts.st_gid})"
    return None


def _closed_group(group: int, uid: int) -> bool:
    """Whether nobody is in the group but root, or but the user alone: many systems give every user a group of his own."""
    if group == 0:
        return True
    import grp
    import pwd

    try:
        user = pwd.getpwuid(uid)
        others = set(grp.getgrgid(group).gr_mem) - {user.pw_name}
    except KeyError:
        return False
    return user.pw_gid == group and not others and all(one.pw_uid == uid for one in pwd.getpwall() if one.pw_gid == group)


def _has_list(place: str) -> bool:
    """Whether an access list names further users; the group's bits are then their upper bound."""
    try:
        return bool(os.getxattr(place, "system.posix_acl_access"))
    except OSError:
        return False


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"

"""RFC 6962 trees with SHA-256: section 8.1 and 8.2, consistency proofs (6.2, [S-revoke-2]) and inclusion proofs (9.4)."""

from hashlib import sha256

EMPTY = sha256(b"").digest()


def leaf_hash(digest, signature):
    """[S-tree-1]"""
    return sha256(b"\x00" + digest + signature).digest()


def node_hash(left, right):
    return sha256(b"\x01" + left + right).digest()


def pieces(first, count):
    """[S-tree-2] The levels (log2 of the size) of the pieces of [first, first + count), from left to right."""
    out = []
    end = first + count
    while first < end:
        level = (end - first).bit_length() - 1
        if first:
            level = min(level, (first & -first).bit_length() - 1)
        out.append(level)
        first += 1 << level
    return out


class Tree:
    """The frontier of a growing tree: whole subtrees of falling size, from left to right."""

    __slots__ = ("stack",)

    def __init__(self):
        self.stack = []

    def add(self, level, value):
        """One whole subtree of 2^level leaves, at the position where the tree ends."""
        stack = self.stack
        while stack and stack[-1][0] == level:
            value = node_hash(stack.pop()[1], value)
            level += 1
        stack.append((level, value))

    def add_range(self, first, count, hashes):
        for level, value in zip(pieces(first, count), hashes):
            self.add(level, value)

    def frontier(self):
        return [value for _, value in self.stack]

    def root(self):
        if not self.stack:
            return EMPTY
        value = self.stack[-1][1]
        for _, left in reversed(self.stack[:-1]):
            value = node_hash(left, value)
        return value


def consistent(old_size, old_root, new_size, new_root, proof):
    """[S-revoke-2] RFC 6962 section 2.1.2, checked as in RFC 9162 section 2.1.4.2, with the two empty cases."""
    if old_size > new_size:
        return False
    if old_size == 0:
        return not proof and old_root == EMPTY
    if old_size == new_size:
        return not proof and old_root == new_root
    if not proof:
        return False
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    fn, sn = old_size - 1, new_size - 1
    while fn & 1:
        fn >>= 1
        sn >>= 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr = node_hash(c, fr)
            sr = node_hash(c, sr)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            sr = node_hash(sr, c)
        fn >>= 1
        sn >>= 1
    return sn == 0 and fr == old_root and sr == new_root


def included(index, size, leaf, root, path):
    """RFC 6962 section 2.1.1, checked as in RFC 9162 section 2.1.3.2; the path has exactly the needed length [S-proof-2]."""
    if index >= size:
        return False
    fn, sn = index, size - 1
    r = leaf
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn:
                fn >>= 1
                sn >>= 1
        else:
            r = node_hash(r, p)
        fn >>= 1
        sn >>= 1
    return sn == 0 and r == root

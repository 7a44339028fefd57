//! Edits of CBOR: items are exchanged, added and dropped, and the counts around them stay right.

use ciborium::Value;

use super::Script;

/// Changes one item of a body, or of the CBOR in one of its byte strings.
pub fn edit(body: &mut Vec<u8>, s: &mut Script<'_>) {
    let Some(items) = read(body) else { return };
    let mut all = Value::Array(items);
    let other = pick(&mut all, s.word()).clone();
    edit_one(&mut all, &other, s);
    if let Value::Array(items) = all {
        *body = write(&items);
    }
}

fn read(mut bytes: &[u8]) -> Option<Vec<Value>> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        items.push(ciborium::from_reader(&mut bytes).ok()?);
    }
    Some(items)
}

fn write(items: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        ciborium::into_writer(item, &mut out).unwrap();
    }
    out
}

fn children(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Map(pairs) => pairs.iter_mut().flat_map(|(key, value)| [key, value]).collect(),
        Value::Tag(_, inner) => vec![&mut **inner],
        _ => Vec::new(),
    }
}

fn count(value: &mut Value) -> usize {
    1 + children(value).into_iter().map(count).sum::<usize>()
}

/// The item with this number, as they are written down.
fn pick(value: &mut Value, number: u16) -> &mut Value {
    let number = usize::from(number) % count(value);
    nth(value, number)
}

fn nth(value: &mut Value, number: usize) -> &mut Value {
    if number == 0 {
        return value;
    }
    let mut left = number - 1;
    let at = children(value).into_iter().position(|child| {
        let inside = count(child);
        let is_here = left < inside;
        if !is_here {
            left -= inside;
        }
        is_here
    });
    nth(children(value).swap_remove(at.unwrap()), left)
}

fn edit_one(all: &mut Value, other: &Value, s: &mut Script<'_>) {
    let target = pick(all, s.word());
    match s.byte() % 10 {
        0 => *target = Value::Integer(s.number().into()),
        1 => *target = Value::Bytes(s.bytes()),
        2 => *target = Value::Text(String::from_utf8_lossy(&s.bytes()).into_owned()),
        3 => {
            *target = match s.byte() % 6 {
                0 => Value::Null,
                1 => Value::Bool(false),
                2 => Value::Bool(true),
                3 => Value::Float(1.5),
                4 => Value::Tag(24, Box::new(target.clone())),
                _ => Value::Integer((-1 - i128::from(s.number())).try_into().unwrap()),
            }
        }
        4 => *target = other.clone(),
        5..=7 => edit_list(target, other, s),
        _ => {
            // A string is changed, or the CBOR in it.
            if let Value::Bytes(bytes) = target {
                if bytes.first().is_some_and(|first| first >> 5 == 5) {
                    edit(bytes, s);
                } else {
                    super::edit_body(bytes, s);
                }
            } else if let Value::Text(text) = target {
                let mut bytes = text.clone().into_bytes();
                super::edit_body(&mut bytes, s);
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
    }
}

fn edit_list(target: &mut Value, other: &Value, s: &mut Script<'_>) {
    let what = s.byte() % 4;
    match target {
        Value::Array(items) => {
            let at = s.below(items.len());
            match what {
                _ if at >= items.len() => items.push(other.clone()),
                0 => drop(items.remove(at)),
                1 => items.insert(at, items[at].clone()),
                2 => {
                    let to = s.below(items.len());
                    items.swap(at, to);
                }
                _ => items.insert(at, other.clone()),
            }
        }
        Value::Map(pairs) => {
            let at = s.below(pairs.len());
            match what {
                _ if at >= pairs.len() => pairs.push((Value::Text("a".into()), other.clone())),
                0 => drop(pairs.remove(at)),
                1 => pairs.insert(at, pairs[at].clone()),
                2 => {
                    let to = s.below(pairs.len());
                    pairs.swap(at, to);
                }
                _ => pairs.push((Value::Text("~".repeat(30)), other.clone())),
            }
        }
        _ => (),
    }
}

"""The scripts that act on one element, as its `this`. A string that starts with "!" says what is wrong with it."""

from __future__ import annotations

_ELEMENT = """
  const element = this.nodeType === Node.ELEMENT_NODE ? this : this.parentElement;
  if (!element || !element.isConnected) return '!is no longer on the page.';
  const disabled = e => e.closest(':disabled') || e.closest('[aria-disabled="true"]');
  const box = e => [...e.getClientRects()].find(r => r.width > 0 && r.height > 0);
"""

REACH = (
    "function(scroll) {"
    + _ELEMENT
    + """
  if (element.tagName === 'OPTION' && !box(element))
    return '!is an option of a closed list: use select_option with the number of the list.';
  if (disabled(element)) return '!is disabled.';
  const style = getComputedStyle(element);
  if (!box(element) || style.visibility !== 'visible') return '!is not visible.';
  if (scroll) element.scrollIntoViewIfNeeded(true);
  const framed = window !== window.top;
  let cover = null;
  for (const rect of element.getClientRects()) {
    const left = Math.max(rect.left, 0), right = Math.min(rect.right, innerWidth);
    const top = Math.max(rect.top, 0), bottom = Math.min(rect.bottom, innerHeight);
    if (right - left < 1 || bottom - top < 1) continue;
    for (const [across, down] of [[.5, .5], [.25, .5], [.75, .5], [.5, .25], [.5, .75], [.02, .5], [.98, .5]]) {
      const x = left + (right - left) * across, y = top + (bottom - top) * down;
      let hit = element.getRootNode().elementFromPoint(x, y);
      const label = hit && hit.closest('label');
      if (hit && (hit === element || element.contains(hit) || (label && label.control === element)))
        return {x, y, framed};
      cover = cover || hit;
    }
  }
  if (!cover) return '!is outside of the window: scroll to it.';
  const words = (cover.innerText || '').trim().slice(0, 40);
  return `!is covered by ${cover.tagName.toLowerCase()}${words ? ` "${words}"` : ''}.`;
}"""
)
"""(scroll) -> {x, y, framed}: a point of the element that a click would hit."""

FILL = (
    "function(value) {"
    + _ELEMENT
    + """
  const field = element.tagName === 'LABEL' && element.control ? element.control : element;
  if (disabled(field)) return '!is disabled.';
  if (!box(field)) return '!is not visible.';
  const plain = ['', 'text', 'email', 'number', 'password', 'search', 'tel', 'url'];
  const chosen = ['color', 'date', 'time', 'datetime-local', 'month', 'range', 'week'];
  if (field.tagName === 'SELECT') return '!is a list: use select_option.';
  if (field.tagName === 'INPUT' && !plain.includes(field.type) && !chosen.includes(field.type))
    return `!is a ${field.type}, which holds no text.`;
  if (field.tagName !== 'INPUT' && field.tagName !== 'TEXTAREA' && !field.isContentEditable)
    return '!is no field that holds text.';
  if (field.readOnly) return '!can only be read.';
  field.scrollIntoViewIfNeeded(true);
  field.focus();
  if (field.tagName === 'INPUT' && chosen.includes(field.type)) {
    const before = field.value;
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, value);
    if (field.value !== value) {
      field.value = before;
      return `!takes a ${field.type}, and ${JSON.stringify(value)} is none.`;
    }
    field.dispatchEvent(new Event('input', {bubbles: true, composed: true}));
    field.dispatchEvent(new Event('change', {bubbles: true}));
    return 'done';
  }
  if (field.type === 'number' && value !== '' && isNaN(Number(value))) return '!takes a number.';
  if (field.isContentEditable && field.tagName !== 'INPUT' && field.tagName !== 'TEXTAREA')
    getSelection().selectAllChildren(field);
  else field.select();
  return 'type';
}"""
)
"""(value) -> 'done', or 'type' where the text is to be typed over what is now selected."""

HOLDS = (
    "function(value) {"
    + _ELEMENT
    + """
  const field = element.tagName === 'LABEL' && element.control ? element.control : element;
  if (field.maxLength >= 0 && value.length > field.maxLength)
    return `!takes ${field.maxLength} characters at most; the rest was cut off.`;
  return 'done';
}"""
)
"""(value) -> whether a field could take the text."""

SELECT = (
    "function(wanted) {"
    + _ELEMENT
    + """
  const list = element.tagName === 'LABEL' && element.control ? element.control : element.closest('select');
  if (!list || list.tagName !== 'SELECT') return '!is no list of options: click it instead.';
  if (disabled(list)) return '!is disabled.';
  if (wanted.length > 1 && !list.multiple) return '!takes one option only.';
  const tidy = text => text.replace(/\\s+/g, ' ').trim();
  const chosen = [];
  for (const wish of wanted) {
    const options = [...list.options];
    const found = options.find(o => tidy(o.label || o.text) === tidy(wish)) || options.find(o => o.value === wish);
    if (!found) return `!has no option ${JSON.stringify(wish)}. Its options are: ` +
      options.slice(0, 30).map(o => tidy(o.label || o.text)).join(' | ') + (options.length > 30 ? ' | …' : '') + '.';
    if (found.disabled) return `!has the option ${JSON.stringify(wish)}, but it is disabled.`;
    chosen.push(found);
  }
  list.focus();
  for (const option of list.options) option.selected = chosen.includes(option);
  list.dispatchEvent(new Event('input', {bubbles: true, composed: true}));
  list.dispatchEvent(new Event('change', {bubbles: true}));
  return 'done';
}"""
)
"""(wanted) -> the options with these labels or values are chosen."""

CHECKED = (
    "function() {"
    + _ELEMENT
    + """
  const mark = element.tagName === 'LABEL' && element.control ? element.control : element;
  if (mark.type === 'checkbox' || mark.type === 'radio') return mark.checked;
  const told = mark.getAttribute('aria-checked');
  return told === null ? '!is neither a checkbox nor a radio button.' : told === 'true';
}"""
)
"""() -> whether a checkbox or radio button is ticked."""

FOCUS = (
    "function() {"
    + _ELEMENT
    + """
  if (disabled(element)) return '!is disabled.';
  let had = false;
  const note = () => { had = true };
  element.addEventListener('focus', note, {capture: true});
  element.focus();
  element.removeEventListener('focus', note, {capture: true});
  const root = element.getRootNode();
  return had || root.activeElement === element || element.contains(root.activeElement) || element === document.body ||
    !document.hasFocus() ? 'done' : '!cannot be focused.';
}"""
)
"""() -> the element has the focus, or had it until the page took it away."""

SCROLL = """(x, y, right, down) => {
  let element = document.elementFromPoint(x, y) || document.scrollingElement;
  const turn = {deltaX: right, deltaY: down, clientX: x, clientY: y, bubbles: true, cancelable: true};
  if (!element.dispatchEvent(new WheelEvent('wheel', turn))) return true;
  const page = document.scrollingElement;
  for (; element; element = element.parentElement) {
    const style = getComputedStyle(element);
    if (element !== page && !/auto|scroll|overlay/.test(style.overflowX + style.overflowY)) continue;
    const before = [element.scrollLeft, element.scrollTop];
    element.scrollBy({left: right, top: down, behavior: 'instant'});
    if (element.scrollLeft !== before[0] || element.scrollTop !== before[1]) return true;
  }
  return false;
}"""
"""(x, y, right, down) -> whether anything at the point moved."""

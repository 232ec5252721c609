// A few lines that stand for React: the four hooks that the printed hook imports, for one component.
// Every change of state renders at once; React may draw several of them together, but shows the same in the end.

let page;

export function useState(initial) {
  const own = page;
  const slot = own.slot(() => initial);
  const set = (next) => {
    own.slots[slot] = typeof next === 'function' ? next(own.slots[slot]) : next;
    own.render();
  };
  return [own.slots[slot], set];
}

export function useRef(initial) {
  return page.slots[page.slot(() => ({ current: initial }))];
}

export function useCallback(callback, dependencies) {
  const slot = page.slot(() => null);
  if (page.differs(slot, dependencies)) page.slots[slot] = { value: callback, dependencies };
  return page.slots[slot].value;
}

export function useEffect(effect, dependencies) {
  const own = page;
  const slot = own.slot(() => null);
  if (!own.differs(slot, dependencies)) return;
  own.effects.push(() => {
    own.slots[slot]?.value?.();
    own.slots[slot] = { value: effect(), dependencies };
  });
}

// What React does with a component: `view` is what it rendered last; `rendered` is told of each.
export class Page {
  slots = [];
  effects = [];

  constructor(component, rendered) {
    this.component = component;
    this.rendered = rendered;
    this.render();
  }

  render() {
    page = this;
    this.next = 0;
    this.view = this.component();
    for (const effect of this.effects.splice(0)) effect();
    this.rendered(this.view);
  }

  // The place of this call of a hook, filled the first time.
  slot(fill) {
    const slot = this.next++;
    if (slot === this.slots.length) this.slots.push(fill());
    return slot;
  }

  differs(slot, dependencies) {
    const before = this.slots[slot]?.dependencies;
    return before === undefined || dependencies.some((value, index) => !Object.is(value, before[index]));
  }
}

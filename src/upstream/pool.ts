/**
 * Decides which callers may share which connections to one server, and how many there are.
 *
 * A connection belongs to one owner from its handshake to its end. Among the free ones the most recently used goes first:
 * a caller whose calls never overlap always meets the same server process. Slots are reserved before anything is awaited,
 * and given back only when nothing is left of what was in them, so there are never more than `maxConnections`.
 */
import { GatewayError } from '../errors.ts'
import { type Lease, Loan, type Open, type Pooled, Slot } from './slot.ts'
import { Waiter, type Waiting } from './waiter.ts'

export interface PoolOptions {
  /** Idle connections are closed down to these. */
  minConnections: number
  maxConnections: number
  /** How long a caller waits for a slot, in ms. */
  acquireTimeout: number
  /** How long a connection stays idle, in ms. */
  idleTimeout: number
  /** How many calls may be in flight at once on one connection. */
  concurrency: number
  /** After how many ms a connection is replaced, once it is idle. */
  maxLifetime?: number | undefined
  /** After how many calls a connection is replaced. */
  maxCalls?: number | undefined
  /** How many callers may wait. */
  queueLimit: number
}

export interface PoolStats {
  /** Connections, those included that are being opened or closed. */
  total: number
  /** With a call in flight, or being opened for one. */
  active: number
  idle: number
  waiting: number
}

export interface PoolObserver {
  /** For how many ms no connection is to be added to those that are there; 0 if it may be at once. */
  pause?(): number
  /** There are more slots in use than before, or fewer. */
  onChange?(): void
  /** A connection is closed that did no harm, for this reason. */
  onEnd?(reason: Error): void
}

export class Pool<C extends Pooled> {
  readonly #server: string
  readonly #options: PoolOptions
  readonly #observer: PoolObserver
  readonly #slots = new Set<Slot<C>>()
  /** By owner, the most recently used last. */
  readonly #free = new Map<string, Slot<C>[]>()
  readonly #queue: Waiter<C>[] = []
  #evicting = 0
  #sweep: NodeJS.Timeout | undefined
  #later: NodeJS.Timeout | undefined
  #closed: Error | undefined

  /** @param server how it is called in messages. */
  constructor(server: string, options: PoolOptions, observer: PoolObserver = {}) {
    this.#server = server
    this.#options = options
    this.#observer = observer
  }

  get stats(): PoolStats {
    let idle = 0
    for (const slot of this.#slots) if (slot.isIdle) idle++
    const total = this.#slots.size
    return { total, active: total - idle, idle, waiting: this.#queue.length }
  }

  /**
   * Lends a connection of this owner, opening one if none is free and there is room. First come, first served.
   *
   * @param open makes a connection for the owner.
   * @param isCall whether it counts for `maxCalls`.
   * @throws {GatewayError} `upstream_busy` if none came free in time, or too many wait; what `open` throws.
   */
  acquire(owner: string, open: Open<C>, who: Waiting, isCall = true): Lease<C> | Promise<Lease<C>> {
    if (this.#closed) return Promise.reject(this.#closed)
    if (this.#queue.length === 0) {
      const free = this.#free.get(owner)?.at(-1)
      if (free) return this.#lend(free, isCall)
      if (this.#mayGrow) return this.#fill(owner, open, isCall)
    }
    return this.#wait(owner, open, who, isCall)
  }

  /** Takes a connection out that will answer no more calls. Its slot is free when it is gone. */
  remove(connection: C): void {
    for (const slot of this.#slots) if (slot.connection === connection) this.#discard(slot)
  }

  /** Has a connection replaced as soon as no call is in flight on it. */
  retire(connection: C, reason: Error): void {
    for (const slot of this.#slots) {
      if (slot.connection !== connection) continue
      slot.retired = reason
      if (slot.isIdle) this.#end(slot, reason)
      else this.#unlist(slot)
    }
  }

  /** Ends every connection; who waits is told the reason. */
  close(reason: Error): void {
    this.#closed = reason
    clearTimeout(this.#sweep)
    clearTimeout(this.#later)
    for (const waiter of this.#queue.splice(0)) waiter.fail(reason)
    for (const slot of this.#slots) slot.connection?.close(reason)
  }

  #lend(slot: Slot<C>, isCall: boolean): Lease<C> {
    slot.leases++
    if (isCall) slot.calls++
    if (slot.leases >= this.#options.concurrency || this.#isSpent(slot)) this.#unlist(slot)
    return new Loan(slot.connection!, () => this.#giveBack(slot))
  }

  #giveBack(slot: Slot<C>): void {
    slot.leases--
    slot.since = performance.now()
    if (!this.#slots.has(slot) || slot.isGoing) return
    if (slot.connection!.closed) {
      this.#discard(slot)
      return
    }
    const reason = slot.retired ?? this.#spent(slot)
    if (!reason) {
      this.#list(slot)
      this.#serve()
      this.#watch()
    } else if (slot.leases === 0) this.#end(slot, reason)
    else this.#unlist(slot)
  }

  async #fill(owner: string, open: Open<C>, isCall: boolean): Promise<Lease<C>> {
    const slot = new Slot<C>(owner)
    this.#slots.add(slot)
    let gone = NOTHING
    try {
      slot.connection = await open((of) => {
        gone = of
      })
    } catch (error) {
      slot.isGoing = true
      if (gone === NOTHING) this.#clear(slot)
      else gone.then(() => this.#clear(slot))
      throw error
    }
    this.#observer.onChange?.()
    const { closed } = slot.connection
    if (closed) {
      this.#discard(slot)
      throw closed
    }
    if (this.#closed) {
      slot.connection.close(this.#closed)
      throw this.#closed
    }
    const lease = this.#lend(slot, isCall)
    if (slot.leases < this.#options.concurrency) this.#list(slot)
    this.#serve()
    return lease
  }

  #wait(owner: string, open: Open<C>, who: Waiting, isCall: boolean): Promise<Lease<C>> {
    const { queueLimit, acquireTimeout } = this.#options
    if (who.aborted) return Promise.reject(who.aborted)
    if (this.#queue.length >= queueLimit) {
      return Promise.reject(this.#busy(`${queueLimit} calls wait already`, 'queueLimit'))
    }
    const waiter = new Waiter<C>(owner, open, who, isCall)
    const timer = setTimeout(() => {
      const { maxConnections } = this.#options
      const what = `all ${maxConnections} connections stayed busy for ${acquireTimeout} ms`
      waiter.fail(this.#busy(what, 'maxConnections or acquireTimeout'))
    }, acquireTimeout)
    waiter.onSettled = () => {
      clearTimeout(timer)
      const at = this.#queue.indexOf(waiter)
      if (at >= 0) this.#queue.splice(at, 1)
    }
    this.#queue.push(waiter)
    this.#serve()
    return waiter.promise
  }

  /** Gives those who wait what is free, in the order they came. */
  #serve(): void {
    while (this.#queue[0] && !this.#closed) {
      const waiter = this.#queue[0]
      const free = this.#free.get(waiter.owner)?.at(-1)
      if (free) waiter.give(this.#lend(free, waiter.isCall))
      else if (this.#mayGrow) {
        waiter.give(this.#fill(waiter.owner, waiter.open, waiter.isCall))
      } else {
        this.#serveLater()
        // Somebody else's idle connection makes room, when it is gone.
        const idle = this.#evicting < this.#queue.length ? this.#longestIdle() : undefined
        if (idle) this.#evict(idle)
        return
      }
    }
  }

  get #hasRoom(): boolean {
    return this.#slots.size < this.#options.maxConnections
  }

  /** While opening fails, those that are open do what they can. */
  get #mayGrow(): boolean {
    return this.#hasRoom && (this.#slots.size === 0 || this.#pause === 0)
  }

  get #pause(): number {
    return this.#observer.pause?.() ?? 0
  }

  /** When another connection may be tried. */
  #serveLater(): void {
    if (this.#later || !this.#hasRoom) return
    this.#later = setTimeout(() => {
      this.#later = undefined
      this.#serve()
    }, this.#pause)
    this.#later.unref()
  }

  #longestIdle(): Slot<C> | undefined {
    let longest: Slot<C> | undefined
    for (const slot of this.#slots) {
      if (slot.isIdle && (!longest || slot.since < longest.since)) longest = slot
    }
    return longest
  }

  #evict(slot: Slot<C>): void {
    this.#evicting++
    slot.connection!.gone.then(() => {
      this.#evicting--
      this.#serve()
    })
    this.#end(slot, new GatewayError('upstream_closed', 'its slot was needed for another owner'))
  }

  #end(slot: Slot<C>, reason: Error): void {
    this.#observer.onEnd?.(reason)
    this.#discard(slot)
    slot.connection!.close(reason)
  }

  #discard(slot: Slot<C>): void {
    if (slot.isGoing) return
    slot.isGoing = true
    this.#unlist(slot)
    slot.connection!.gone.then(() => this.#clear(slot))
  }

  #clear(slot: Slot<C>): void {
    this.#slots.delete(slot)
    this.#serve()
    this.#observer.onChange?.()
  }

  #list(slot: Slot<C>): void {
    this.#unlist(slot)
    const free = this.#free.get(slot.owner)
    if (free) free.push(slot)
    else this.#free.set(slot.owner, [slot])
  }

  #unlist(slot: Slot<C>): void {
    const free = this.#free.get(slot.owner)
    if (!free) return
    if (free.at(-1) === slot) free.pop()
    else if (free.includes(slot)) free.splice(free.indexOf(slot), 1)
    if (free.length === 0) this.#free.delete(slot.owner)
  }

  #isSpent({ calls }: Slot<C>): boolean {
    return calls >= (this.#options.maxCalls ?? Number.POSITIVE_INFINITY)
  }

  /** Why a connection is not to be used again. */
  #spent(slot: Slot<C>): Error | undefined {
    const { maxCalls, maxLifetime } = this.#options
    if (this.#isSpent(slot)) {
      return new GatewayError('upstream_closed', `it has served its ${maxCalls} calls`)
    }
    if (performance.now() - slot.opened > (maxLifetime ?? Number.POSITIVE_INFINITY)) {
      return new GatewayError('upstream_closed', `it has lived its ${maxLifetime} ms`)
    }
    return undefined
  }

  /** Looks again when the next idle connection may have been idle long enough. */
  #watch(): void {
    if (this.#sweep || this.#closed) return
    this.#sweep = setTimeout(() => {
      this.#sweep = undefined
      this.#reap()
      if ([...this.#slots].some(({ isIdle }) => isIdle)) this.#watch()
    }, this.#options.idleTimeout / 2)
    this.#sweep.unref()
  }

  #reap(): void {
    const { idleTimeout, minConnections } = this.#options
    const now = performance.now()
    let left = [...this.#slots].filter(({ isGoing }) => !isGoing).length
    for (const slot of this.#slots) {
      if (!slot.isIdle) continue
      const spent = this.#spent(slot)
      const isLong = now - slot.since >= idleTimeout && left > minConnections
      if (!spent && !isLong) continue
      left--
      const idle = new GatewayError('upstream_closed', `it was idle for ${idleTimeout} ms`)
      this.#end(slot, spent ?? idle)
    }
  }

  #busy(what: string, knob: string): GatewayError {
    const server = this.#server
    return new GatewayError('upstream_busy', `server "${server}": ${what}`, {
      server,
      hint: `raise ${knob.replaceAll(/\w+[A-Z]\w+/g, `mcpServers.${server}.pool.$&`)}, or look for calls that never end`,
    })
  }
}

const NOTHING = Promise.resolve()

import { MemoryStore } from '../support/memory-store.ts'
import { contract } from './contract.ts'

contract('the store in memory', async () => new MemoryStore())

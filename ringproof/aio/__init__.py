"""The ledger on asyncio: no thread, and no call that blocks. Each event loop has connections of its own."""

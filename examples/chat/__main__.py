"""Three people talk, a display counts, and what is older than half a second goes."""

from datetime import timedelta

import trio

from examples.chat.service import Chat, Retention, open_chat

RETENTION = Retention(keep=timedelta(seconds=0.5), every=timedelta(seconds=0.1))


async def talk(chat: Chat, author: str) -> None:
    for number in range(10):
        await chat.say("lobby", author, f"{author} says {number}")


async def main() -> None:
    async with open_chat("talk.db", RETENTION) as chat:
        async with trio.open_nursery() as nursery:
            for author in ("ann", "bob", "cat"):
                nursery.start_soon(talk, chat, author)

        newest = await chat.messages.page("lobby", limit=3)
        print("the newest:", [message.body for message in newest])
        older = await chat.messages.page("lobby", before=newest[-1].id, limit=3)
        print("before those:", [message.body for message in older])

        async with chat.live_count("lobby") as counts:
            async for count in counts:
                print(f"{count} messages in the lobby")
                if count == 0:
                    break


trio.run(main)

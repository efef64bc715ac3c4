"""Writes the issues of the tracker that roundup.sh sets up.

fill TRACKER URL CALLS      a new tracker and what is in it
settings TRACKER URL CALLS  where it is served, and how many calls a minute it allows
change TRACKER              what a later crawl must find
"""

import datetime
import sys

from roundup import admin, configuration, date, init, instance, password

PEOPLE = {
    # name: (real name, roles)
    "ada": ("Ada Example", "User,Staff"),
    "grace": ("Grace Example", "User,Staff"),
    "linus": ("Linus Example", "User"),
    "margaret": ("Margaret Example", "User"),
    "renee": ("Renée Example", "User"),
    # Reads everything, also addresses and roles, and writes nothing.
    "crawler": ("The connector", "Crawler"),
}

# Everyone sees an issue, but a private one is for the staff and those it concerns.
PERMISSIONS = '''

def sees_issue(db, userid, itemid):
    issue = db.issue.getnode(itemid)
    return (not issue.private or userid in (issue.creator, issue.assignedto) or userid in issue.nosy
            or db.user.has_role(userid, "Staff", "Crawler"))


def sees_msg(db, userid, itemid):
    return all(sees_issue(db, userid, issue) for issue in db.issue.find(messages=itemid))


db.security.addRole(name="Staff", description="Sees private issues")
db.security.addRole(name="Crawler", description="Reads everything")
for permission in "View", "Web Access", "Rest Access":
    db.security.addPermissionToRole("Crawler", permission)
db.security.addPermissionToRole("Anonymous", "Rest Access")
for role in "User", "Anonymous":
    for name, check in ("issue", sees_issue), ("msg", sees_msg):
        p = db.security.addPermission(name="View", klass=name, check=check, description="Not the private ones")
        db.security.addPermissionToRole(role, p)
        p = db.security.addPermission(name="Search", klass=name, description="Search them all")
        db.security.addPermissionToRole(role, p)
'''


def fill(home, url, calls):
    template = admin.AdminTool().listTemplates()["classic"]["path"]
    init.install(home, template, settings={"rdbms_backend": "sqlite"})
    settings(home, url, calls)

    with open(home + "/schema.py", encoding="utf-8") as file:
        schema = file.read()
    schema = replace(schema, 'status=Link("status"))', 'status=Link("status"),\n                private=Boolean())')
    schema = replace(schema, "for cl in 'issue', 'file', 'msg', 'keyword':\n    db.security.addPermissionToRole('User', 'View', cl)\n",
                     "for cl in 'file', 'keyword':\n    db.security.addPermissionToRole('User', 'View', cl)\n"
                     "for cl in 'issue', 'file', 'msg', 'keyword':\n")
    schema = replace(schema, "for cl in 'issue', 'file', 'msg', 'keyword', 'priority', 'status':",
                     "for cl in 'file', 'keyword', 'priority', 'status':")
    with open(home + "/schema.py", "w", encoding="utf-8") as file:
        file.write(schema + PERMISSIONS)

    tracker = instance.open(home)
    tracker.init(secret("admin", tracker), tx_Source="cli")
    db = tracker.open("admin")
    db.tx_Source = "cli"

    # From a day long ago, so that each run is the same. Every fifth issue shares its second with the one before.
    clock = Clock(datetime.datetime(2024, 1, 1, 8))
    for name, (real, roles) in PEOPLE.items():
        clock.go(60)
        db.user.create(username=name, realname=real, roles=roles, password=secret(name, tracker),
                       address=f"{name}@example.com", organisation="Example")
    left = db.user.create(username="left", realname="Left Long-ago", roles="User", address="left@example.com")
    keywords = [db.keyword.create(name=name) for name in ("printer", "network", "laptop", "private", "büro")]

    authors = [name for name in PEOPLE if name != "crawler"]
    for n in range(1, 151):
        author = authors[n % len(authors)]
        if n % 5:
            clock.go(7200)
        db.setCurrentUser("left" if n == 33 else author)
        values = {
            "title": f"Case {n}: the {['printer', 'network', 'laptop'][n % 3]} on floor {n % 7} fails",
            "keyword": [keywords[n % 3]],
            "priority": str(n % 5 + 1),
            "status": str(n % 8 + 1),
            "private": n % 10 == 0,
            "messages": [message(db, f"It fails since day {n}.\nWhat we tried:\n- restart\n- another cable <red>\n")],
        }
        if n % 10 == 0:
            values["keyword"].append(keywords[3])
        if n % 4 == 0:
            values["assignedto"] = db.user.lookup(authors[(n + 1) % len(authors)])
        if n == 7:
            values["title"] = "Störung im Büro: 東京 & «Zürich» <urgent> 50 %"
            values["keyword"].append(keywords[4])
        if n == 8:
            values["messages"] = []
        if n == 9:
            # About 200 KB.
            values["messages"] = [message(db, "".join(f"Line {line} of a long log: nothing went wrong.\n" for line in range(4500)))]
        if n == 10:
            values["files"] = [db.file.create(name="trace of the printer.txt", type="text/plain", content="a trace\n" * 20)]
        if n == 11:
            del values["private"]
        issue = db.issue.create(**values)
        if n % 3 == 0:
            clock.go(600)
            db.setCurrentUser(authors[(n + 2) % len(authors)])
            db.issue.set(issue, messages=db.issue.get(issue, "messages") + [message(db, f"Seen, case {n} goes on.")])
        if n % 50 == 0:
            db.commit()
    clock.go(600)
    db.setCurrentUser("admin")
    db.issue.set("13", superseder=["12"])
    db.issue.retire("14")
    db.issue.retire("15")
    db.user.retire(left)
    db.commit()
    db.close()


def settings(home, url, calls):
    config = configuration.CoreConfig(home)
    config["TRACKER_NAME"] = "Acme help desk"
    config["TRACKER_WEB"] = url
    config["MAIL_DOMAIN"] = "example.com"
    config["MAIL_HOST"] = "localhost"
    # No mail leaves.
    config["MAIL_DEBUG"] = home + "/mail.log"
    config["ADMIN_EMAIL"] = "admin@example.com"
    config["WEB_API_CALLS_PER_INTERVAL"] = calls
    config["WEB_API_INTERVAL_IN_SEC"] = "60"
    # Each request brings a password, and a test is no place for a slow hash.
    config["PASSWORD_PBKDF2_DEFAULT_ROUNDS"] = "1000"
    config.save()


def change(home):
    tracker = instance.open(home)
    db = tracker.open("grace")
    db.tx_Source = "cli"
    now = date.Date(".").pretty("%H:%M:%S")
    # A new message, a new title, made private, made public.
    db.issue.set("1", messages=db.issue.get("1", "messages") + [message(db, f"Still so at {now}.")])
    db.issue.set("2", title=f"Case 2, renamed at {now}")
    db.issue.set("3", private=True)
    db.issue.set("20", private=False)
    for n in "one", "two":
        db.issue.create(title=f"New case {n} of {now}", priority="3", private=n == "two",
                        messages=[message(db, f"New case {n}.")])
    db.issue.retire("4")
    db.commit()
    db.close()
    # One leaves the staff, and one joins it.
    db = tracker.open("admin")
    db.tx_Source = "cli"
    for name, roles in ("ada", "User"), ("linus", "User,Staff"):
        db.user.set(db.user.lookup(name), roles=roles)
    db.commit()
    db.close()


class Clock:
    """What Roundup takes for the time."""

    def __init__(self, start):
        self.now = start
        date.Date.now = lambda _: self.now

    def go(self, seconds):
        self.now += datetime.timedelta(seconds=seconds)


def message(db, text):
    return db.msg.create(content=text, author=db.getuid(), date=date.Date("."))


def secret(name, tracker):
    return password.Password(f"not-a-secret-{name}", config=tracker.config)


def replace(text, old, new):
    if text.count(old) != 1:
        sys.exit(f"the template changed: {old!r}")
    return text.replace(old, new)


{"fill": fill, "settings": settings, "change": change}[sys.argv[1]](*sys.argv[2:])

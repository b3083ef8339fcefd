"""Write the users, and what they have in the blog and the shop. Again changes nothing."""

from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand

from sample_project.blog.models import Comment, Post
from sample_project.reference.models import Airline, Airport, Plane
from sample_project.shop.models import Category, Invoice, Order, Product, Profile, Review

ADMIN, PASSWORD = "admin", "xdbrel"

PEOPLE = (
    ("ada", "London"),
    ("grace", "Arlington"),
    ("edsger", "Nuenen"),
    ("barbara", "Los Angeles"),
    ("radia", "Portsmouth"),
    ("donald", "Milwaukee"),
)
POSTS = (
    ("On {}: keys that travel", "A key says which row is meant, and not where it lives."),
    ("Notes of {}: what a scan found", "Most orphans are older than anyone remembers."),
    ("{} asks: one database or five?", "One, for as long as it does. Then placement matters."),
)
#: Model, key, whose note it is, and what it says. The archive begins with that plane's flight.
NOTES = (
    (Airline, "UA", "grace", "The first flight of 2013 was one of theirs."),
    (Airport, "EWR", "ada", "Three airports, one of them in New Jersey: this one."),
    (
        Plane,
        "N14228",
        "edsger",
        "Left Newark for Houston on the first of January, two minutes late.",
    ),
)
CATALOGUE = {
    "Books": (("Transactions, processed", "89.00"), ("The relational model", "42.50")),
    "Tools": (("Soldering iron", "35.90"), ("Logic probe", "24.00")),
}


class Command(BaseCommand):
    help = (
        "Write the sample users, and their posts, notes, orders, reviews, invoices and profiles."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        self.admin()
        users = [
            User.objects.get_or_create(username=name, defaults={"email": f"{name}@example.com"})[0]
            for name, _ in PEOPLE
        ]
        self.blog(users)
        self.notes()
        self.shop(users)
        self.stderr.write(
            f"{len(users)} users, their posts and their orders are there", style_func=str
        )

    def admin(self) -> None:
        user, _ = User.objects.get_or_create(
            username=ADMIN, defaults={"is_staff": True, "is_superuser": True}
        )
        if not user.check_password(PASSWORD):
            user.set_password(PASSWORD)
            user.save(update_fields=["password"])

    def blog(self, users: list[User]) -> None:
        for number, author in enumerate(users):
            for editors, (title, content) in enumerate(POSTS):
                post, _ = Post.objects.get_or_create(
                    title=title.format(author.username),
                    author=author,
                    defaults={"content": content},
                )
                # None for the first post, one for the second, two for the third.
                post.editors.add(
                    *(users[(number + 3 + step) % len(users)] for step in range(editors))
                )
                for step in (1, 2):
                    reader = users[(number + step) % len(users)]
                    Comment.objects.get_or_create(
                        post=post,
                        author=reader,
                        defaults={"content": f"{reader.username} read this twice."},
                    )

    def notes(self) -> None:
        for model, key, author, text in NOTES:
            for about in model.objects.filter(pk=key):  # none where no flights were loaded
                about.notes.get_or_create(
                    author=User.objects.get(username=author), defaults={"text": text}
                )

    def shop(self, users: list[User]) -> None:
        products = []
        for label, goods in CATALOGUE.items():
            category, _ = Category.objects.get_or_create(name=label)
            for name, price in goods:
                product, _ = Product.objects.get_or_create(
                    name=name, defaults={"category": category, "price": Decimal(price)}
                )
                products.append(product)
        for number, user in enumerate(users):
            city = PEOPLE[number][1]
            Profile.objects.get_or_create(user=user, defaults={"city": city})
            for product in products[: 1 + number % len(products)]:
                order, _ = Order.objects.get_or_create(
                    order_number=f"ORD-{number:02}-{product.pk:03}",
                    defaults={"customer": user, "total": product.price},
                )
                # A review outlives its author; one who comes back has it again.
                Review.objects.update_or_create(
                    product=product,
                    text=f"{product.name}: as described, says a buyer from {city}.",
                    defaults={"author": user},
                )
                # Every second customer has invoices, and cannot be deleted.
                if number % 2:
                    Invoice.objects.get_or_create(
                        order_number=order.order_number, defaults={"customer": user}
                    )

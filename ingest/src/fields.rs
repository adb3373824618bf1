//! What is kept of each provider's objects. Dropping cannot be undone, keeping personal data is
//! not allowed: so ids, amounts, currencies, codes, statuses, timestamps and our own metadata keys
//! are named here, and nothing else passes. The notation is that of [`crate::allow_list`].
//!
//! A change here is a new [`crate::minimise::MINIMISER_REVISION`].

/// Stripe, every shape from 2020-08-27 on: members of different API versions stand side by side.
pub const STRIPE: &str = r"
coupon {
    id object created deleted valid currency amount_off percent_off duration duration_in_months
    max_redemptions redeem_by times_redeemed metadata{ affiliate_ref affiliate_id }
}
discount {
    id object start end customer# customer_account# subscription# subscription_item# checkout_session#
    invoice# invoice_item# promotion_code#
    coupon:coupon                     // before clover
    source{ type coupon# }            // clover and later
}
promotion_code {
    id object created active code customer# expires_at max_redemptions times_redeemed
    coupon:coupon                     // before clover
    promotion{ type coupon# }         // clover and later
    metadata{ affiliate_ref affiliate_id }
}
price { id product# }
line_item {
    id amount quantity
    price:price                       // before basil
    pricing{ price_details{ price# product# } }
}
invoice_payment {
    id object created currency status is_default amount_paid amount_requested invoice#
    payment{ type payment_intent# charge# }
    status_transitions{ paid_at canceled_at }
}
invoice {
    id object created currency status billing_reason number receipt_number
    customer# customer_account# customer_email@
    subtotal subtotal_excluding_tax total total_excluding_tax tax
    amount_due amount_paid amount_remaining amount_shipping amount_overpaid amount_paid_off_stripe
    starting_balance ending_balance pre_payment_credit_notes_amount post_payment_credit_notes_amount
    total_discount_amounts[]{ amount discount# }
    total_tax_amounts[]{ amount inclusive } total_taxes[]{ amount tax_behavior }
    discount:discount discounts[]:discount
    status_transitions{ finalized_at paid_at voided_at marked_uncollectible_at }
    paid paid_out_of_band subscription# payment_intent# charge#             // before basil
    subscription_details{ metadata{ affiliate_ref affiliate_id } }
    parent{ type subscription_details{ subscription# metadata{ affiliate_ref affiliate_id } } }
    payments{ data[]:invoice_payment has_more }
    lines{ data[]:line_item has_more total_count }
    metadata{ affiliate_ref affiliate_id }
}
checkout.session {
    id object created currency mode status payment_status amount_subtotal amount_total
    customer# customer_account# payment_intent# subscription# invoice# payment_link#
    client_reference_id~ customer_email@ customer_details{ email@ }
    total_details{
        amount_discount amount_shipping amount_tax
        breakdown{ discounts[]{ amount discount:discount } }
    }
    discounts[]{ coupon# promotion_code# }
    invoice_creation{ enabled }
    metadata{ affiliate_ref affiliate_id }
}
refund {
    id object created currency status amount charge# payment_intent# customer# reason failure_reason
    receipt_number metadata{ affiliate_ref affiliate_id }
}
charge {
    id object created currency status amount amount_captured amount_refunded captured paid refunded disputed
    receipt_number receipt_email@ billing_details{ email@ } customer# payment_intent# dispute#
    invoice#                          // before basil
    payment_method_details{ type card{ country fingerprint% } }
    refunds{ data[]:refund has_more total_count }
    metadata{ affiliate_ref affiliate_id }
}
payment_intent {
    id object created currency status amount amount_received customer# receipt_email@
    latest_charge#
    charges{ data[]{ id object } }    // before 2022-11-15
    invoice#                          // before basil
    metadata{ affiliate_ref affiliate_id }
}
dispute {
    id object created currency status amount reason charge# payment_intent#
    balance_transactions[]{ id amount currency created reporting_category }
    metadata{ affiliate_ref affiliate_id }
}
credit_note {
    id object created currency status type reason number amount total voided_at effective_at
    invoice# customer# customer_balance_transaction#
    pre_payment_amount post_payment_amount out_of_band_amount
    refund#                           // before basil
    refunds[]{ amount_refunded refund# }
    metadata{ affiliate_ref affiliate_id }
}
subscription {
    id object created currency status customer# customer_account# latest_invoice#
    start_date trial_start trial_end cancel_at cancel_at_period_end canceled_at ended_at
    cancellation_details{ reason }
    discount:discount discounts[]:discount
    metadata{ affiliate_ref affiliate_id }
}
customer { id object created deleted }

event {
    id object type created livemode account api_version request{ id }
    data{ object{ id object } previous_attributes{ amount_refunded } }
}
unknown_event { id object type created livemode account data{ object{ id object } } }
thin_event {
    id object type created livemode snapshot_event related_object{ id type }
}

invoice_list { object has_more data[]:invoice }
invoice_payment_list { object has_more data[]:invoice_payment }
promotion_code_list { object has_more data[]:promotion_code }
coupon_list { object has_more data[]:coupon }
subscription_list { object has_more data[]:subscription }
";

/// Which object an event of a type carries. Types that are not here are unknown.
pub const STRIPE_EVENTS: &[(&str, &[&str])] = &[
    (
        "checkout.session",
        &[
            "checkout.session.completed",
            "checkout.session.async_payment_succeeded",
            "checkout.session.async_payment_failed",
            "checkout.session.expired",
        ],
    ),
    (
        "invoice",
        &[
            "invoice.paid",
            "invoice.payment_succeeded",
            "invoice.payment_failed",
            "invoice.voided",
            "invoice.marked_uncollectible",
        ],
    ),
    ("invoice_payment", &["invoice_payment.paid"]),
    ("charge", &["charge.succeeded", "charge.refunded"]),
    ("payment_intent", &["payment_intent.succeeded"]),
    // `charge.refund.updated` is how a failed refund is told to endpoints older than 2024-10-28.
    ("refund", &["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"]),
    (
        "dispute",
        &[
            "charge.dispute.created",
            "charge.dispute.updated",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.funds_reinstated",
            "charge.dispute.closed",
        ],
    ),
    (
        "subscription",
        &[
            "customer.subscription.created",
            "customer.subscription.updated",
            "customer.subscription.deleted",
            "customer.subscription.trial_will_end",
        ],
    ),
    ("discount", &["customer.discount.created", "customer.discount.updated", "customer.discount.deleted"]),
    ("promotion_code", &["promotion_code.created", "promotion_code.updated"]),
    ("coupon", &["coupon.created", "coupon.updated", "coupon.deleted"]),
    ("credit_note", &["credit_note.created", "credit_note.updated", "credit_note.voided"]),
    ("customer", &["customer.created", "customer.updated", "customer.deleted"]),
];

/// Paddle Billing. An event type is `<entity>.<what happened>`.
pub const PADDLE: &str = r"
transaction {
    id status origin collection_mode customer_id subscription_id invoice_id invoice_number discount_id
    currency_code created_at updated_at billed_at
    custom_data{ affiliate_ref affiliate_id }
    details{
        totals{
            subtotal discount tax total credit credit_to_balance balance grand_total grand_total_tax
            fee earnings currency_code
        }
        line_items[]{ id price_id quantity totals{ subtotal discount tax total } product{ id } }
    }
    items[]{ price{ id product_id } quantity }
}
subscription {
    id status transaction_id customer_id currency_code collection_mode
    created_at updated_at started_at first_billed_at next_billed_at paused_at canceled_at
    discount{ id starts_at ends_at } scheduled_change{ action effective_at resume_at }
    custom_data{ affiliate_ref affiliate_id }
}
adjustment {
    id action type status transaction_id subscription_id customer_id currency_code created_at updated_at
    totals{ subtotal tax total fee retained_fee earnings currency_code }
}
discount {
    id status code type mode amount currency_code enabled_for_checkout recur maximum_recurring_intervals
    usage_limit times_used expires_at created_at updated_at
    custom_data{ affiliate_ref affiliate_id }
}
unknown { id }

event { event_id event_type occurred_at data{ id } }
discount_answer { data:discount }
transaction_list { data[]:transaction meta{ pagination{ per_page has_more estimated_total } } }
";

/// The entities of Paddle whose events are read.
pub const PADDLE_ENTITIES: &[&str] = &["transaction", "subscription", "adjustment", "discount"];

/// Lemon Squeezy, by `data.type`.
pub const LEMON_SQUEEZY: &str = r"
orders {
    store_id customer_id order_number currency status subtotal setup_fee discount_total tax tax_inclusive
    total refunded_amount refunded refunded_at created_at updated_at test_mode user_email@
    first_order_item{ id order_id product_id variant_id price_id price quantity }
}
subscriptions {
    store_id customer_id order_id order_item_id product_id variant_id status cancelled
    trial_ends_at renews_at ends_at created_at updated_at test_mode user_email@
}
subscription-invoices {
    store_id customer_id subscription_id billing_reason currency status subtotal discount_total tax
    tax_inclusive total refunded_amount refunded refunded_at created_at updated_at test_mode user_email@
}
unknown { store_id created_at updated_at test_mode }

event {
    meta{ event_name test_mode custom_data{ affiliate_ref affiliate_id } }
    data{ type id attributes{ updated_at } }
}
discount_redemptions {
    data[]{ type id attributes{ discount_id discount_code amount order_id created_at updated_at } }
    meta{ page{ currentPage lastPage } }
}
";

/// The types of Lemon Squeezy that are read.
pub const LEMON_SQUEEZY_TYPES: &[&str] = &["orders", "subscriptions", "subscription-invoices"];
